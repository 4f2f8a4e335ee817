// Fills every figure of the page and selects its first network.
for (const place of document.querySelectorAll("[data-figure]")) figures[place.dataset.figure]?.(place);
if (data.first !== null && data.first !== undefined) {
  state.selected = { arch: data.networks[data.first].arch, name: data.networks[data.first].name, network: data.first };
  emit("selection");
}
for (const button of document.querySelectorAll("[data-select]")) button.addEventListener("click", () => selectNetwork(Number(button.dataset.select)));
// On paper nothing can be unfolded, so the meanings of block names are.
const unfolded = [];
window.addEventListener("beforeprint", () => {
  for (const node of document.querySelectorAll(".detail .glossary:not([open])")) {
    node.open = true;
    unfolded.push(node);
  }
});
window.addEventListener("afterprint", () => {
  for (const node of unfolded.splice(0)) node.open = false;
});
document.documentElement.dataset.ready = "yes";
