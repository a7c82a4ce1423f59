// Sends a picture without leaving the page, and keeps the scanner's field in focus.
"use strict";
const verdict = document.getElementById("verdict");
const code = document.getElementById("code");
const picture = document.getElementById("picture");

picture.addEventListener("change", async () => {
  const file = picture.files[0];
  if (!file) return;
  const answer = await fetch(picture.dataset.to, { method: "POST", body: file });
  const text = await answer.text();
  const fragment = new DOMParser().parseFromString(text, "text/html").querySelector("section");
  if (answer.ok && fragment) verdict.replaceChildren(fragment);
  picture.value = "";
  code.focus();
});

document.addEventListener("keydown", (event) => {
  if (event.key.length === 1 && document.activeElement === document.body) code.focus();
});
