"use strict";
// Keyboard through the list (j, k, Enter), to the parcels beside (n, p), before and after, and drafts that stay.
(() => {
  // A page shown by the log-in itself is asked for anew by its own address: Back and reload send no password.
  const { here } = document.body.dataset;
  if (here) history.replaceState(null, "", here);

  const typing = () => /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
  const rows = [...document.querySelectorAll("#parcels tbody tr")];
  let at = -1;
  const stand = (next) => {
    if (!rows.length) return;
    if (at >= 0) rows[at].classList.remove("here");
    at = Math.min(Math.max(next, 0), rows.length - 1);
    rows[at].classList.add("here");
    rows[at].querySelector("a").focus();
  };
  document.addEventListener("keydown", (event) => {
    if (typing() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") stand(at + 1);
    if (event.key === "k") stand(at - 1);
    const beside = { n: "to-next", p: "to-previous" }[event.key];
    const link = beside && document.getElementById(beside);
    if (link) link.click();
  });

  const before = document.getElementById("before"), after = document.getElementById("after");
  if (before && after) {
    const buttons = [...document.querySelectorAll(".calendar button")];
    const colour = () => document.querySelector("[data-colours] input:checked").value;
    const clear = buttons.filter((button) => Number(button.dataset.clear) >= 0.9);
    const seen = clear.length > 1 ? clear : buttons;
    const shown = { before: seen[0], after: seen[seen.length - 1] };
    const draw = () => {
      for (const [id, button] of Object.entries(shown)) {
        document.getElementById(id).src = `${button.dataset.src}&colour=${colour()}`;
        document.getElementById(id).alt = button.dataset.day;
        document.getElementById(`${id}-day`).textContent = button.dataset.day;
      }
    };
    for (const button of buttons) button.addEventListener("click", () => {
      shown.before = shown.after;
      shown.after = button;
      draw();
    });
    // An event shows the last picture before it and the first after it, the clear ones if there are any.
    for (const event of document.querySelectorAll("[data-earliest]")) event.addEventListener("click", () => {
      const of = (list, wanted) => list.filter(wanted);
      const earlier = (list) => of(list, (button) => button.dataset.iso <= event.dataset.earliest).pop();
      const later = (list) => of(list, (button) => button.dataset.iso >= event.dataset.latest)[0];
      shown.before = earlier(clear) || earlier(buttons) || shown.before;
      shown.after = later(clear) || later(buttons) || shown.after;
      draw();
      document.querySelector(".compare").scrollIntoView({ block: "nearest" });
    });
    document.querySelector("[data-colours]").addEventListener("change", () => {
      for (const button of buttons) button.querySelector("img").src = `${button.dataset.src}&colour=${colour()}`;
      draw();
    });
    document.getElementById("slide").addEventListener("input", (event) => {
      before.style.setProperty("--cut", `${100 - event.target.value}%`);
    });
    const enlarge = document.getElementById("enlarge"), figure = document.querySelector(".compare");
    enlarge.addEventListener("click", () => {
      enlarge.setAttribute("aria-pressed", figure.classList.toggle("big"));
      figure.scrollIntoView({ block: "nearest" });
    });
    draw();
  }

  // A draft goes when its parcel says that it was saved: a database or network that is away loses no word.
  const draft = (parcel) => `draft ${document.body.dataset.who} ${parcel}`;
  const saved = document.querySelector("[data-saved]");
  if (saved) sessionStorage.removeItem(draft(saved.dataset.saved));
  for (const form of document.querySelectorAll("form[data-draft]")) {
    const key = draft(form.dataset.draft), text = form.elements.remark;
    if (!text.value) text.value = sessionStorage.getItem(key) || "";
    text.addEventListener("input", () => sessionStorage.setItem(key, text.value));
  }

  for (const input of document.querySelectorAll("input[data-largest]")) input.addEventListener("change", () => {
    const large = [...input.files].find((file) => file.size > Number(input.dataset.largest));
    input.setCustomValidity(large ? `${large.name}: ${input.dataset.said}` : "");
    input.reportValidity();
  });
})();
