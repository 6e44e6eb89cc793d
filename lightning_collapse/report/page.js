"use strict";
const scope = part => part.closest(".looks");
const shown = (plot, key) => { const box = scope(plot).querySelector(`[data-toggle="${key}"]`); return !box || box.checked; };
const number = value => value === null ? "–" : Number(value.toPrecision(4)).toString();
for (const plot of document.querySelectorAll(".plot")) {
  const data = JSON.parse(plot.querySelector("script").textContent);
  const tip = plot.querySelector(".tip"), svg = plot.querySelector("svg");
  const nearest = (px, x) => px.reduce((best, p, i) => Math.abs(p - x) < Math.abs(px[best] - x) ? i : best, 0);
  let at = -1, panel = 0;
  const line = (text, key) => {
    const row = document.createElement("div");
    const label = key && scope(plot).querySelector(`[data-toggle="${key}"]`)?.parentElement;
    if (label) row.append(label.querySelector(".key").cloneNode(true), `${label.textContent}: `);
    row.append(text); tip.append(row);
  };
  const tell = (left, top) => {
    tip.textContent = "";
    const box = svg.getBoundingClientRect();
    if (data.points) { line(data.points[at][1]); }
    else {
      line(`round ${data.x[at]}`);
      for (const key of data.axes[panel].series) {
        const three = data.series[key][at];
        if (!three || !shown(plot, key)) continue;
        const [mean, low = mean, high = mean] = three;
        line(low === high ? number(mean) : `${number(mean)} (${number(low)} to ${number(high)})`, key);
      }
      if (data.floor !== undefined) line(`${data.of} ${number(data.floor)}`);
    }
    tip.style.display = "block";
    tip.style.left = Math.max(0, Math.min(left + 8, box.width - tip.offsetWidth)) + "px";
    tip.style.top = top + 12 + "px";
  };
  if (!data.axes && !data.points) continue;
  const places = () => data.points ? data.points.map(point => point[0]) : data.axes[panel].px;
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    if (data.axes) {
      const inside = data.axes.findIndex(({box: [l, t, r, b]}) => l <= x && x <= r && t <= y && y <= b);
      panel = Math.max(0, inside);
    }
    at = nearest(places(), x);
    tell(event.clientX - box.left, event.clientY - box.top);
  });
  svg.addEventListener("pointerleave", () => { tip.style.display = "none"; });
  plot.tabIndex = 0;
  plot.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === "Escape") tip.style.display = "none";
    if (!step) return;
    event.preventDefault();
    at = Math.max(0, Math.min(at + step, places().length - 1));
    const box = svg.getBoundingClientRect();
    tell(places()[at] * box.width, box.height / 3);
  });
  plot.addEventListener("blur", () => { tip.style.display = "none"; });
}
for (const box of document.querySelectorAll("[data-toggle]")) {
  box.addEventListener("change", () => {
    for (const part of scope(box).querySelectorAll(`[data-series="${box.dataset.toggle}"]`)) part.classList.toggle("hide", !box.checked);
  });
}
