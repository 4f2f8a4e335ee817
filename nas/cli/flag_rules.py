"""Which flags of a command go together: one table, looked at before a command checks anything else.

A rule names flags and what must hold beside them. What depends on a file or a registry (the reach of a space, what a
run has decided) is checked where that is read.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nas.errors import InvalidInput
from nas.registry import FILE_OPTIONS, INT8_EXPORTERS

Holds = Callable[["Given"], bool]


@dataclass(frozen=True)
class Given:
    """The flags that a command was given: those whose value is not the default."""

    flags: frozenset[str]
    args: argparse.Namespace

    def __contains__(self, flag: str) -> bool:
        return flag in self.flags


@dataclass(frozen=True)
class Rule:
    """In `commands`, each of `flags` needs that `holds`; else `words` refuse it, with the arguments put in by name."""

    commands: tuple[str, ...]
    flags: tuple[str, ...]
    holds: Holds
    words: str
    example: str  # flags that break it

    def refusal(self, command: str, given: Given) -> str | None:
        """Return the words of the refusal, None where the rule is kept."""
        broken = [flag for flag in self.flags if flag in given]
        if command not in self.commands or not broken or self.holds(given):
            return None
        return self.words.format(flag=broken[0], **vars(given.args))


def needs(*flags: str) -> Holds:
    """Return whether all of `flags` are given too."""
    return lambda given: all(flag in given for flag in flags)


def without(*flags: str) -> Holds:
    """Return whether none of `flags` is given."""
    return lambda given: not any(flag in given for flag in flags)


def _joint(given: Given) -> bool:
    return given.args.algorithm == "joint" and "--front" not in given


def _joint_or_front(given: Given) -> bool:
    return given.args.algorithm == "joint"


def _over_supernet(given: Given) -> bool:
    return not _joint(given)


def _has_accuracy_model(given: Given) -> bool:
    if "--accuracy-model" in given:
        return bool(given.args.accuracy_model != "none")
    return given.args.preset == "standard" and "--finalists" not in given and "--one-stage" not in given


def _takes(option: str) -> Holds:
    return lambda given: given.args.format in FILE_OPTIONS[option]


def _has_int8(given: Given) -> bool:
    return given.args.format in INT8_EXPORTERS


def _holds_weights(given: Given) -> bool:
    return bool(given.args.format != "json")


DEVICE, SEARCH, RANK = ("search", "rank", "spaces", "describe", "scale"), ("search",), ("search", "rank")
TRAIN, EXPORT, DEPLOY, CALIBRATE = ("train",), ("export",), ("deploy",), ("calibrate",)
FILES = (*EXPORT, *DEPLOY)
EXCLUDE = "{flag} and %s exclude each other; give one"
RULES = (
    Rule(DEVICE, ("--peak-gmacs-per-s",), needs("--ridge-point"),
         "{flag} belongs to --ridge-point; give both, or --target alone", "--peak-gmacs-per-s 3"),
    Rule(DEVICE, ("--target",), without("--ridge-point"), EXCLUDE % "--ridge-point", "--target rpi5 --ridge-point 3"),
    Rule(DEVICE, ("--latency-model",), without("--ridge-point"),
         "{flag} belongs to --target; --ridge-point is the plain roofline already",
         "--latency-model plain-roofline --ridge-point 3"),
    Rule(RANK, ("--max-energy-mj",), without("--ridge-point"),
         "{flag} needs a --target with energy coefficients; an abstract device has none",
         "--max-energy-mj 3 --ridge-point 3"),
    Rule(RANK, ("--front-points",), needs("--front"), "{flag} goes with --front; give both, or neither",
         "--front-points 3"),
    Rule(SEARCH, ("--around", "--universal", "--minimize"), without("--front"),
         "{flag} and --front exclude each other; leave one out", "--front --minimize macs"),
    Rule(SEARCH, ("--one-stage", "--supernet-share"), _joint, "{flag} goes with --algorithm joint and one latency, not "
         "with a front or {algorithm}", "--one-stage --algorithm nsga2"),
    Rule(SEARCH, ("--accuracy-model", "--core-hours"), _joint_or_front,
         "{flag} goes with --algorithm joint, not with {algorithm}", "--core-hours 1 --algorithm nsga2"),
    Rule(SEARCH, ("--finalists",), _joint, "{flag} goes with joint; after a search by {algorithm}: nas finalists RUN",
         "--finalists 6 --algorithm nsga2"),
    Rule(SEARCH, ("--baseline",), _joint, "{flag} goes with joint; after a search by {algorithm}: nas train both "
         "networks", "--baseline mobilenetv2 --algorithm nsga2"),
    Rule(SEARCH, ("--quantize",), without("--finalists", "--evaluator"),
         "{flag} ranks by a supernet, or by networks that an accuracy model has trained alone; finalists of two stages "
         "and other evaluators are in floats: leave one out", "--quantize int8 --finalists 6"),
    Rule(SEARCH, ("--trials", "--from", "--universal", "--evaluator"), _over_supernet,
         "{flag} goes with an --algorithm over a supernet trained once, nsga2 say, not with joint", "--trials 3"),
    Rule(SEARCH, ("--weights",), without("--from", "--evaluator"),
         "{flag} starts a supernet that is trained: it goes without --from and --evaluator",
         "--algorithm nsga2 --weights w --evaluator a:B"),
    Rule(SEARCH, ("--from",), without("--evaluator"), EXCLUDE % "--evaluator",
         "--algorithm nsga2 --from run --evaluator a:B"),
    Rule(SEARCH, ("--supernet-share",), _has_accuracy_model,
         "{flag} is that of a search with an accuracy model: add --accuracy-model ridge, or --preset standard",
         "--supernet-share 0.1"),
    Rule(SEARCH, ("--finalists",), without("--accuracy-model", "--core-hours"),
         "finalists are those of the two-stage search: leave {flag} or the accuracy model and its core hours out",
         "--finalists 6 --accuracy-model ridge"),
    Rule(("measure",), ("--space", "--target"), needs("--top"),
         "{flag} repeats what a run names as code, for --top K; networks alone need none", "--target a:B"),
    Rule(("measure",), ("--batch", "--group"), without("--top"),
         "{flag} and --top exclude each other: candidates take turns, at the batch of their prediction",
         "--top 3 --batch 4"),
    Rule(SEARCH, ("--runtime",), needs("--measure-top"),
         "{flag} belongs to --measure-top K, the candidates that it measures", "--runtime litert"),
    Rule(SEARCH, ("--measure-top",), lambda given: "--ridge-point" not in given or "--peak-gmacs-per-s" in given,
         "{flag} needs latencies in ms: a --target, or --peak-gmacs-per-s too", "--measure-top 3 --ridge-point 3"),
    Rule(("scale",), ("--phi",), without("--latency"), EXCLUDE % "--latency", "--phi 1 --latency 3"),
    Rule(("targets",), ("--check", "--template"), without("target"),
         "{flag} goes without the name of a target; give one of them", "--template rpi5"),
    Rule(("targets",), ("--template",), without("--check", "--json"),
         "{flag} prints a file: it goes without --check and --json", "--template --json"),
    Rule(("compare",), ("--ridge-sweep",), needs("--out"),
         "{flag} writes a table and a plot; name a new folder for them with --out", "--ridge-sweep"),
    Rule(TRAIN, ("--from-supernet",), needs("--proxy"),
         "{flag} needs --proxy and the folder of a run: a supernet trains proxies", "--from-supernet"),
    Rule(TRAIN, ("--proxy-resolution", "--proxy-width"), lambda given: "--proxy" in given and
         "--from-supernet" not in given,
         "--proxy-resolution and --proxy-width go with --proxy, and not with --from-supernet", "--proxy-width 0.5"),
    Rule(TRAIN, ("--qat-share", "--qat-rate"), needs("--quantize"),
         "{flag} belongs to --quantize int8, the steps in int8; give both or neither", "--qat-share 0.2"),
    Rule((*TRAIN, *DEPLOY), ("--accept-changes", "--space", "--target"), needs("--from-supernet"),
         "{flag} goes with --from-supernet, whose weights depend on what the run was begun with", "--accept-changes"),
    Rule(DEPLOY, ("--weights",), without("--from-supernet"),
         "a training starts from weights or from the supernet; give one", "--weights w --from-supernet"),
    Rule(EXPORT, ("--weights",), without("--random-weights"), EXCLUDE % "--random-weights",
         "--weights w --random-weights --format onnx"),
    Rule(EXPORT, ("--weights", "--measured"), _holds_weights,
         "the format json is the spec alone, with no weights: leave {flag} out, or choose another --format",
         "--weights w"),
    Rule(FILES, ("--calibration", "--calibration-method", "--calibration-images", "--keep-float", "--max-drop-points"),
         needs("--quantize"), "{flag} belongs to --quantize int8; give both or neither", "--calibration digits"),
    Rule(FILES, ("--quantize",), _has_int8,
         f"the format {{format}} has no int8 form; these have: {', '.join(INT8_EXPORTERS)}",
         "--quantize int8 --format flax"),
    Rule(FILES, ("--opset",), _takes("opset"),
         f"the format {{format}} has no option opset; it goes with {', '.join(FILE_OPTIONS['opset'])}",
         "--opset 13 --format flax"),
    Rule(FILES, ("--input",), _takes("uint8_input"),
         f"the format {{format}} has no option uint8 input; it goes with {', '.join(FILE_OPTIONS['uint8_input'])}",
         "--input uint8 --format timm"),
    Rule(CALIBRATE, ("--space", "--resolution", "--seed", "--latency-ms"), needs("--propose"),
         "{flag} belongs to --propose N; a fit has no use for it", "--space uib"),
    Rule(CALIBRATE, ("--propose",), without("measurements", "--name"),
         "{flag} N measures nothing: it goes without a CSV file and without --name", "--propose 3 --name x"),
    Rule(CALIBRATE, ("--propose",), without("--model", "--of", "--force"),
         "{flag} N fits nothing: it goes without --model forest, --of and --force", "--propose 3 --model forest"),
    Rule(CALIBRATE, ("--target",), lambda given: "--add" in given or "--propose" in given,
         "{flag} is the target that --add CSV adds to; for a new one like it: --like {target}", "--target rpi5"),
    Rule(CALIBRATE, ("--add",), lambda given: "--target" in given or "--propose" in given,
         "{flag} needs --target T, the calibrated target that it adds to", "--add more.csv"),
    Rule(CALIBRATE, ("--add",), without("measurements"),
         "{flag} and a table of its own exclude each other; give all with --add", "m.csv --add x.csv --target t"),
    Rule(CALIBRATE, ("--like", "--dtype"), without("--target"),
         "{flag} and --target exclude each other: the target has that already", "--add m.csv --target t --like rpi5"),
    Rule(CALIBRATE, ("--add", "--target", "--latency-ms"), without("--model"),
         "{flag} belongs to a roofline, not to --model forest; grow another forest from all tables in one",
         "--add m.csv --target t --model forest"),
    Rule(CALIBRATE, ("--latency-ms",), lambda given: "--target" in given or "--like" in given,
         "{flag} needs the device whose latency it is: add --target T, or --like T", "--propose 3 --latency-ms 4"),
    Rule(CALIBRATE, ("--of",), needs("--model"),
         "{flag} belongs to --model forest; a target holds latency, and energy where it was measured", "--of energy"),
    Rule(CALIBRATE, ("--like", "--dtype"), without("--model"),
         "{flag} belongs to a roofline; a forest counts elements, so it has no use for it",
         "--model forest --like rpi5"),
)  # fmt: skip


def check_rules(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Raise `InvalidInput` for the first rule that the flags of a command, parsed by its `parser`, break."""
    given = Given(frozenset(_given(parser, args)), args)
    for rule in RULES:
        if (refusal := rule.refusal(args.command, given)) is not None:
            raise InvalidInput(refusal)


def _given(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Iterator[str]:
    """Yield the names of the flags and arguments that are not as they are by default."""
    for action in parser._actions:
        if getattr(args, action.dest, None) != parser.get_default(action.dest):
            yield from action.option_strings or (action.dest,)
