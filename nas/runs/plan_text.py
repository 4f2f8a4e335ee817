"""Plans as text: the lines that are printed before a run starts, and stored in experiment.json."""

from collections.abc import Iterator
from itertools import chain

from latency_models.macs_ranking import BY_MACS
from latency_models.unsupported import left_out_text
from nas.data import Dataset, resolution_notes
from nas.registry import SPACES, load
from nas.runs.evaluators import evaluator_source
from nas.runs.front_budget import front_budget
from nas.runs.front_config import range_text
from nas.runs.front_end import with_front_end
from nas.runs.model_budget import ModelBudget, model_budget
from nas.runs.multi_target_settings import MultiTargetConfig
from nas.runs.outside_start import outside_lines
from nas.runs.plan import REFERENCE, SearchPlan
from nas.runs.shared_supernet import evaluation_image_count, sandwich_training, shapes_of
from nas.runs.verdict import wants_verdict
from nas.space.scaling import dropped_strides_note

SHOWN_TARGETS = 4  # names of outputs in a line


def describe_plan(plan: SearchPlan) -> list[str]:
    """Return the lines about a joint search."""
    config, preset, verdict = plan.settings, plan.preset, wants_verdict(plan)
    requested = config.latency_ms is not None or config.latency_ratio is not None
    source = "as asked" if requested else f"that of {REFERENCE} rebuilt for {plan.input_shape.size.text}"
    if not requested and plan.dataset.is_waveforms:
        source = "the geometric middle of what the space reaches"
    how = "around" if config.around else "at most"
    target = (
        f"target {plan.target_name}: {how} {plan.latency_budget:.4g} {plan.model.unit} ({source}); {_reachable(plan)}",
        *_error_lines(plan),
    )
    steps = f"coarse {preset.coarse.steps} and fine {preset.fine.steps}"
    steps = f"all decisions in one stage of {preset.whole.steps}" if config.one_stage else steps
    budget = _model_lines(plan) or [
        f"preset {preset.name}: {steps} controller steps, {preset.coarse.updates} weight updates each, "
        f"batch {preset.batch}; seed {config.seed}",
        *(preset.retraining.description(config.one_stage) if preset.retraining else ()),
    ]
    budget += [f"verdict: the network found and {config.baseline} at its latency trained alone"] if verdict else []
    *left_out, space, network, data, proxy = _subject(plan)
    proxy_space = plan.proxy(plan.space if config.one_stage else plan.space.coarse())
    budget += outside_lines(config.weights, proxy_space, lambda: shapes_of(proxy_space))
    return [
        *left_out,
        space,
        network,
        *target,
        data,
        proxy,
        *budget,
        *_constraints(plan),
        *_few_images(plan, evaluation_image_count(plan)),
    ]


def _model_lines(plan: SearchPlan, budget: ModelBudget | None = None) -> list[str]:
    """Return the lines on an accuracy model and what is trained for it; none for a search in two stages."""
    if plan.accuracy_model is None:
        return []
    budget = budget or model_budget(plan)
    s, hours = budget.schedule, (budget.trainings_s + budget.supernet_s) / 3600
    rungs = ", then ".join(f"{n} to epoch {epochs}" for n, epochs in zip(s.survivors, s.rungs, strict=True))
    repeats = min(s.finalists, s.survivors[-1])
    again = f", {repeats} with {s.repeats} more seeds" if s.repeats else ""
    supernet = f"supernet: {budget.supernet_steps} steps, {budget.share:.0%} of the processor time"
    none = "supernet: none" + ("" if plan.front else ", as its share is too little for one that ranks")
    return [
        f"preset {plan.preset.name}: about {hours:.2g} core hours; seed {plan.settings.seed}",
        f"accuracy model {plan.accuracy_model}: networks trained alone, {rungs}{again}",
        *(["networks trained alone are ranked by their accuracy in int8, that of their files"] * plan.settings.is_int8),
        supernet if budget.supernet_steps else none,
    ]


def _error_lines(plan: SearchPlan) -> list[str]:
    """Return the line on how far latencies on the target can be trusted, and what of the space that blurs."""
    known, setup = plan.latency_error, f" ({plan.model.setup})" if plan.model.setup else ""
    lines, share = [f"latencies on {plan.target_name}{setup}: {known.explained}"], plan.share_within_error
    if share is not None and not plan.front:
        lines.append(
            f"{100 * share:.0f} % of random networks of the space lie within {known.text} of the latency budget"
        )
    if (rho := plan.macs_correlation) >= BY_MACS:
        lines.append(
            f"{plan.target_name} ranks the networks of the space by their MACs (rank correlation {rho:.4f}): the "
            "search is one for few MACs"
        )
    return lines + _memory_lines(plan)


def _memory_lines(plan: SearchPlan) -> list[str]:
    """Return the line on the memories of a microcontroller, where the search keeps to neither."""
    target, settings = plan.target, plan.settings
    if target is None or target.flash_kb is None or target.onchip_kb is None:
        return []
    if settings.max_memory_kb is not None or settings.max_flash_kb is not None:
        return []
    ram, flash = target.onchip_kb.value, target.flash_kb.value
    return [
        f"{plan.target_name} has {ram:,g} KiB of RAM and {flash:,g} KiB of flash, which bound nothing here: "
        f"--max-memory {ram:g}KiB --max-flash {flash:g}KiB do"
    ]


def describe_plans(config: MultiTargetConfig, plans: tuple[SearchPlan, ...]) -> list[str]:
    """Return the lines about searches over an evaluator that all targets share."""
    first = plans[0]
    targets = [
        line for number, plan in enumerate(plans) for line in (_target(config, number, plan), *_error_lines(plan))
    ]
    where = "of filters and depths, then of blocks," if not config.front else "near each latency of its front,"
    trials = config.trials
    if config.cost_front:
        trials = 2 * config.trials + config.more_trials
        where = f"of all decisions, for the front of accuracy, {' and '.join(first.settings.minimize)},"
    search = f"{config.algorithm}: {trials} trials {where} per target"
    universal = ["then one network for all targets, of least worst regret"] if config.universal else []
    seed = f"preset {first.preset.name}; seed {first.settings.seed}"
    few = _few_images(first, evaluator_source(config.evaluator).images(first))
    if config.accuracy_model:
        return [*_subject(first), *_constraints(first), *targets, *_model_lines(first, front_budget(plans)), *few]
    constraints = _constraints(first, cost_front=config.cost_front)
    whole = first.proxy(first.space)
    outside = outside_lines(first.settings.weights, whole, lambda: shapes_of(whole))
    lines = [*_subject(first), *constraints, *targets, _evaluator(config, first), *outside, search, *universal, seed]
    return [*lines, *few]


def _target(config: MultiTargetConfig, number: int, plan: SearchPlan) -> str:
    """Return the line about one target: its latency budget, or those of its front."""
    unit, on = plan.model.unit, f"{plan.target_name}; {_reachable(plan)}"
    if config.front is None:
        return f"target {config.names[number]}: at most {plan.latency_budget:.4g} {unit} on {on}"
    asked = config.front.of_target(number)
    cut = any(end is not None and end not in plan.front for end in asked)
    listed, within = ", ".join(f"{budget:.4g}" for budget in plan.front), f", within {range_text(asked)}" if cut else ""
    return f"target {config.names[number]}: a front of at most {listed} {unit}{within} on {on}"


def _reachable(plan: SearchPlan) -> str:
    """Return the range of latencies in the space."""
    low, high = plan.reachable
    return f"reachable {low:.4g} to {high:.4g} {plan.model.unit}"


def _subject(plan: SearchPlan) -> tuple[str, ...]:
    """Return a line each on what the target does not run, on space, target networks, data and proxies."""
    config, data, shape = plan.settings, plan.dataset, plan.input_shape
    published = with_front_end(load("space", SPACES, config.space), plan.front_end)
    share = f"{plan.preset.validation_fraction:.0%}"
    proxy = dropped_strides_note(published.strides, plan.proxy(plan.space).strides)
    left_out = left_out_text(plan.target, plan.sources.left_out) if plan.target else ""
    return (
        *([left_out] if left_out else []),
        f"space {config.space}: {plan.space.size():.3g} architectures, coarse stage {plan.space.coarse().size():,}",
        f"target network: {shape.size.text}, {shape.channels} channels, {data.outputs_text}"
        f"{dropped_strides_note(published.strides, plan.space.strides)}",
        *(["its front end computes the DFT by an FFT"] if config.dft == "fft" else []),
        f"data {data.name}: {len(data.y_train):,} training {_examples(data)}, of which {share} are "
        f"the validation set for rewards{_apart(data)}; the test set is not seen",
        *_task_lines(data),
        f"proxy trained by the supernet: {plan.proxy_resolution.text}, width {plan.proxy_width:g}{proxy}; "
        "accuracies are the proxy's, costs and latency the target network's",
    )


def _examples(data: Dataset) -> str:
    """Return what the examples are called, of waveforms with their rate and their length."""
    return data.size_text if data.is_waveforms else "images"


def _apart(data: Dataset) -> str:
    """Return that the validation set holds other groups than the training set, where it does."""
    return "" if data.group is None else f", of other groups '{data.group}' than the training set (about that share)"


def _task_lines(data: Dataset) -> Iterator[str]:
    """Yield a line on what is learnt and what the search maximises, where that is not top-1 of classes."""
    if not data.has_classes:
        named = ", ".join(data.class_names[:SHOWN_TARGETS]) + (", ..." if data.num_classes > SHOWN_TARGETS else "")
        yield (
            f"task {data.task.kind}: {named}; accuracy stands for {data.task.score.title}, at most 1, of which one "
            "below 0 counts as 0"
        )


def _constraints(plan: SearchPlan, *, cost_front: bool = False) -> list[str]:
    """Return lines on hard bounds, on the costs of the front, and on the data."""
    lines = [f"hard bound: at most {bound.most:,} {bound.unit}" for bound in plan.bounds]
    lines += [bound.description for bound in plan.forests]
    if costs := plan.settings.minimize:
        latency = "" if cost_front else "latency, "
        lines.append(f"front.csv: not dominated in accuracy, {latency}{', '.join(costs)}")
    lines += plan.forest_notes
    if plan.energy and ("energy" in costs or plan.settings.max_energy_mj is not None):
        lines.append(f"energies on {plan.target_name}: {plan.energy.error.explained}")
    data = plan.dataset
    sides = [plan.proxy_resolution] + [plan.input_shape.size] * (data.framing is not None)
    notes = dict.fromkeys((*data.notes, *chain.from_iterable(resolution_notes(data, side) for side in sides)))
    return lines + [f"data note: {note}" for note in notes]


def _few_images(plan: SearchPlan, images: int) -> list[str]:
    """Return the line on validation images that are too few to rank networks."""
    note = plan.few_images_note(images)
    return [f"data note: {note}"] if note else []


def _evaluator(config: MultiTargetConfig, plan: SearchPlan) -> str:
    """Return the line on where accuracies come from."""
    if not evaluator_source(config.evaluator).trains_supernet:
        return f"evaluator {config.evaluator}: no supernet is trained"
    if config.source is not None:
        return f"supernet: the weights with SHA-256 {config.source:.12}, trained before"
    steps = sandwich_training(plan).steps
    return f"supernet of the whole space: {steps} steps of the sandwich rule, batch {plan.preset.batch}"
