"use strict";
const LEFT_OUT = "\u0000";
const cards = [...document.querySelectorAll("figure[data-sha256]")];
const key = document.body.dataset.key || document.querySelector("main").dataset.key;
const by = document.getElementById("by");

function remembered() {
  try { return JSON.parse(localStorage.getItem(key) || "{}"); } catch (error) { return {}; }
}
function remember() {
  const said = {};
  for (const card of cards) if (card.dataset.said !== undefined) said[card.dataset.sha256] = [card.dataset.said, card.dataset.at];
  try { localStorage.setItem(key, JSON.stringify({ by: by.value, said: said })); } catch (error) { /* a file may not keep anything */ }
}
function show(card) {
  const choice = card.querySelector("select"), other = card.querySelector("input"), said = card.dataset.said;
  // An empty text is a class that is about to be typed.
  const known = said !== "" && [...choice.options].some((option) => option.value === said);
  choice.value = said === undefined ? "" : said === LEFT_OUT ? "leave out" : known ? said : "another";
  other.hidden = choice.value !== "another";
  if (choice.value === "another" && said) other.value = said;
  card.classList.toggle("said", said !== undefined);
}
function count() {
  const done = cards.filter((card) => card.dataset.said !== undefined).length;
  document.getElementById("done").textContent = done + " of " + cards.length;
}
function say(card, label) {
  if (label === undefined) { delete card.dataset.said; delete card.dataset.at; }
  else { card.dataset.said = label; card.dataset.at = new Date().toISOString(); }
  show(card); count(); remember();
}
function rows() {
  return cards.filter((card) => card.dataset.said !== undefined && card.dataset.said !== "").map((card) => ({
    path: card.dataset.path, sha256: card.dataset.sha256,
    label: card.dataset.said === LEFT_OUT ? "" : card.dataset.said,
    was: card.dataset.was, by: by.value.trim(), at: card.dataset.at,
  }));
}
function save(name, text, kind) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
function field(text) { return '"' + text.replaceAll('"', '""') + '"'; }

for (const card of cards) {
  const choice = card.querySelector("select"), other = card.querySelector("input");
  choice.addEventListener("change", () => {
    if (choice.value === "another") { other.hidden = false; other.focus(); say(card, other.value.trim()); }
    else say(card, choice.value === "" ? undefined : choice.value === "leave out" ? LEFT_OUT : choice.value);
  });
  other.addEventListener("input", () => { card.dataset.said = other.value.trim(); card.dataset.at = new Date().toISOString(); count(); remember(); });
  card.addEventListener("keydown", (event) => {
    const place = Number(event.key) - 1, labels = [...choice.options].filter((option) => option.dataset.isClass);
    if (event.target === other || !(place >= 0 && place < labels.length)) return;
    say(card, labels[place].value);
    const next = cards[cards.indexOf(card) + 1];
    if (next) next.focus();
  });
}
by.addEventListener("input", remember);
document.getElementById("save-json").addEventListener("click", () =>
  save("corrections.json", JSON.stringify({ schema: "sortline.corrections/1", corrections: rows() }, null, 1), "application/json"));
document.getElementById("save-csv").addEventListener("click", () =>
  save("corrections.csv", ["sha256,label,was,by,at,path", ...rows().map((row) =>
    [row.sha256, row.label, row.was, row.by, row.at, row.path].map(field).join(","))].join("\n") + "\n", "text/csv"));

const before = remembered();
if (before.by) by.value = before.by;
for (const card of cards) {
  const found = (before.said || {})[card.dataset.sha256];
  if (found) { card.dataset.said = found[0]; card.dataset.at = found[1]; }
  show(card);
}
count();
