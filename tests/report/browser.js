// Looks at the page within each frame, and writes what it found into the document.
const contrast = (a, b) => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\d.]+/g).map(Number).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [dim, bright] = [light(a), light(b)].sort((x, y) => x - y);
  return (bright + 0.05) / (dim + 0.05);
};
const look = frame => {
  const page = frame.contentDocument, window = frame.contentWindow, root = page.documentElement;
  const found = {overflow: root.scrollWidth - root.clientWidth, width: root.clientWidth};
  const style = element => window.getComputedStyle(element);
  found.back = style(page.body).backgroundColor;
  found.clipped = [...page.querySelectorAll("svg")].flatMap(svg => {
    const box = svg.getBoundingClientRect();
    const out = q => q.width && (q.left < box.left - 1 || q.right > box.right + 1 || q.top < box.top - 1 || q.bottom > box.bottom + 1);
    return [...svg.querySelectorAll("text")].filter(text => out(text.getBoundingClientRect())).map(text => text.textContent);
  });
  const lines = [...page.querySelectorAll("[data-series] > path")].map(path => style(path).stroke).filter(colour => colour.startsWith("rgb"));
  found.line = Math.min(...lines.map(colour => contrast(colour, found.back)));
  found.text = Math.min(...[...page.querySelectorAll("p, td, th, svg text, figcaption")].map(
    part => contrast(part.closest("svg") ? style(part).fill : style(part).color, found.back)));
  found.requests = window.performance.getEntriesByType("resource").map(one => one.name).filter(name => !name.startsWith("data:"));
  const plot = page.querySelector(".plot"), svg = plot.querySelector("svg"), tip = plot.querySelector(".tip");
  const data = JSON.parse(plot.querySelector("script").textContent), box = svg.getBoundingClientRect();
  const point = () => svg.dispatchEvent(new window.PointerEvent("pointermove", {clientX: box.left + data.axes[0].px[2] * box.width, clientY: box.top + box.height / 2}));
  point();
  found.hover = tip.innerText;
  found.inside = tip.getBoundingClientRect().right <= root.clientWidth + 1;
  svg.dispatchEvent(new window.PointerEvent("pointerleave"));
  found.left = tip.offsetWidth;
  const toggle = page.querySelector('[data-toggle="c0"]');
  toggle.click();
  const series = [...page.querySelectorAll('[data-series="c0"]')];
  found.series = series.length;
  found.hidden = series.filter(part => style(part).display === "none").length;
  point();
  found.without = tip.innerText;
  toggle.click();
  found.shown = series.filter(part => style(part).display !== "none").length;
  plot.focus();
  found.focus = page.activeElement === plot;
  found.reached = [...page.querySelectorAll("input, .plot")].filter(part => part.tabIndex === 0).length;
  const press = key => plot.dispatchEvent(new window.KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  press("Escape"); press("ArrowLeft"); press("ArrowLeft"); press("ArrowRight");
  found.keys = tip.innerText;
  press("Escape");
  found.escaped = tip.offsetWidth;
  return found;
};
addEventListener("load", () => {
  const told = Object.fromEntries([...document.querySelectorAll("iframe")].map(frame => [frame.title, look(frame)]));
  document.body.innerHTML = "";
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(told);
  document.body.append(out);
});
