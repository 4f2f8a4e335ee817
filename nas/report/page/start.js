// Fills every figure of the page and selects its first network.
for (const place of document.querySelectorAll("[data-figure]")) figures[place.dataset.figure]?.(place);
if (data.first !== null && data.first !== undefined) {
  state.selected = { arch: data.networks[data.first].arch, name: data.networks[data.first].name, network: data.first };
  emit("selection");
}
for (const button of document.querySelectorAll("[data-select]")) button.addEventListener("click", () => selectNetwork(Number(button.dataset.select)));
document.documentElement.dataset.ready = "yes";
