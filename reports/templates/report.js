"use strict";
// Choosing among the scenarios, opening what a link points into, and all of it on paper. The report says all without it.
(() => {
  const search = document.getElementById("search");
  const rows = [...document.querySelectorAll(".row")];
  const boxes = [...document.querySelectorAll("[data-verdict-box]")];
  const none = document.getElementById("none");
  const texts = rows.map((row) => row.querySelector("summary").textContent.toLowerCase());
  const choose = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let shown = 0;
    rows.forEach((row, index) => {
      const fits = verdicts.has(row.dataset.verdict) && words.every((word) => texts[index].includes(word));
      row.hidden = !fits;
      shown += fits;
    });
    none.hidden = shown > 0;
  };
  if (search) {
    search.addEventListener("input", choose);
    boxes.forEach((box) => box.addEventListener("change", choose));
    document.querySelector(".tools").hidden = false;
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        search.focus();
      }
    });
  }
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let node = target; node; node = node.parentElement) {
      if (node.tagName === "DETAILS") node.open = true;
      if (node.hidden) node.hidden = false;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
