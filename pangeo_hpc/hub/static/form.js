// The spawn form with JavaScript: the limits of the chosen node type, a slider, a live preview.
// Everything works without it; texts from elsewhere are only ever set as text.
"use strict";

(() => {
  const root = document.getElementById("pangeo-form");
  if (!root) return;
  const form = root.closest("form");
  const { node_types: nodeTypes, texts, words } = JSON.parse(document.getElementById("pangeo-data").textContent);
  const field = (name) => root.querySelector(`[data-field="${CSS.escape(name)}"]`);
  const input = (name) => field(name)?.querySelector("input:not([type=range]), select");
  const say = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

  // -- the chosen node type --------------------------------------------------------------------

  const chosen = () => nodeTypes[form.elements.node_type?.value] ?? {};

  function hint(name, text) {
    const place = document.getElementById(`${name}-hint`);
    if (place) place.textContent = text;
  }

  function limit(name, [number, most], text) {
    const box = input(name);
    if (!box) return;
    const fixed = number === most;
    hint(name, say(fixed ? texts.fixed : text, { number, most }));
    // what cannot be chosen is shown as it is; a value that was typed stays to be seen
    box.readOnly = fixed && box.value === "";
    box.placeholder = number;
  }

  function show(name, visible) {
    const place = field(name);
    if (!place) return;
    const box = input(name);
    place.hidden = !visible && box.value === "";
  }

  const slider = makeSlider();

  function adapt() {
    const isJob = (form.elements.profile?.value ?? "batch") === "batch";
    for (const part of root.querySelectorAll("[data-batch]")) part.hidden = !isJob;
    const node = chosen();
    if (!node.cores) return;
    limit("cores", node.cores, texts.range);
    limit("memory", node.memory, texts.memory_range);
    limit("gpus", node.gpus, texts.gpus_range);
    limit("walltime", node.walltime_text, texts.walltime_range);
    show("gpus", node.gpus[1] > 0);
    show("account", node.account);
    for (const place of root.querySelectorAll('[data-field^="option."]')) {
      const name = place.dataset.field.slice("option.".length);
      show(place.dataset.field, node.options.includes(name));
    }
    slider.adapt(node);
  }

  // -- the slider ------------------------------------------------------------------------------

  function clock(seconds) {
    const two = (number) => String(number).padStart(2, "0");
    return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  }

  function seconds(text) {
    const found = /^\s*(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)\s*$/.exec(text);
    if (!found) return null;
    const [days, hours, minutes, rest] = found.slice(1).map((part) => Number(part ?? 0));
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest;
  }

  function makeSlider() {
    const box = input("walltime");
    const range = document.createElement("input");
    range.type = "range";
    range.className = "form-range";
    range.id = "walltime-slider";
    range.setAttribute("aria-label", words.slider);
    box.after(range);

    function told() {
      const total = Number(range.value);
      const values = { hours: Math.floor(total / 3600), minutes: Math.floor(total / 60) % 60 };
      range.setAttribute("aria-valuetext", say(texts.hours, values));
    }

    range.addEventListener("input", () => {
      box.value = clock(Number(range.value));
      told();
      later();
    });
    box.addEventListener("input", () => {
      const total = seconds(box.value);
      if (total !== null) range.value = total;
      told();
    });
    return {
      adapt(node) {
        const [usual, most] = node.walltime;
        const step = most <= 1800 ? 60 : most <= 7200 ? 300 : most <= 86400 ? 900 : 3600;
        range.min = Math.min(step, most);
        range.step = step;
        // the last step may be a short one
        range.max = most - (most % step) || most;
        range.value = seconds(box.value) ?? usual;
        range.hidden = most <= step;
        told();
      },
    };
  }

  // -- what the hub is asked -------------------------------------------------------------------

  const estimate = document.getElementById("estimate");
  const preview = document.getElementById("preview");
  const offers = document.getElementById("offers");
  const list = document.getElementById("offers-list");
  let asked = 0;

  function choices() {
    const found = {};
    for (const [name, value] of new FormData(form)) {
      if (!name.startsWith("_") && value !== "") found[name] = value;
    }
    return found;
  }

  async function ask(what) {
    const answer = await fetch(root.dataset.ask, {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-XSRFToken": form.elements._xsrf.value },
      body: JSON.stringify({ show: what, choices: choices() }),
    });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  }

  // What the page came with is forgotten as soon as somebody mends it.
  function mend(place) {
    for (const old of place?.querySelectorAll(".invalid-feedback:not(.pangeo-live)") ?? []) old.remove();
    const box = place?.querySelector("[aria-invalid]:not([data-live])");
    if (!box) return;
    box.removeAttribute("aria-invalid");
    box.classList.remove("is-invalid");
    const ids = (box.getAttribute("aria-describedby") ?? "").split(" ");
    box.setAttribute("aria-describedby", ids.filter((id) => !id.endsWith("-error")).join(" "));
  }

  // Problems that a preview finds come and go with it.
  function mark(problems) {
    for (const old of root.querySelectorAll(".pangeo-live")) old.remove();
    for (const box of root.querySelectorAll("[data-live]")) {
      box.removeAttribute("data-live");
      box.removeAttribute("aria-invalid");
      box.classList.remove("is-invalid");
      const ids = (box.getAttribute("aria-describedby") ?? "").split(" ");
      box.setAttribute("aria-describedby", ids.filter((id) => !id.endsWith("-live")).join(" "));
    }
    for (const { field: name, text } of problems) {
      const place = field(name);
      if (!place) continue;
      const said = document.createElement("div");
      said.className = "invalid-feedback d-block pangeo-live";
      said.id = `${name}-live`;
      said.textContent = text;
      place.append(said);
      const box = input(name);
      box.setAttribute("data-live", "");
      box.setAttribute("aria-invalid", "true");
      box.classList.add("is-invalid");
      const ids = box.getAttribute("aria-describedby");
      box.setAttribute("aria-describedby", ids ? `${ids} ${said.id}` : said.id);
    }
  }

  async function look() {
    const mine = ++asked;
    estimate.textContent = words.asking;
    try {
      const told = await ask("preview");
      if (mine !== asked) return;
      estimate.textContent = told.estimate;
      mark(told.problems);
      document.getElementById("script").textContent = told.script;
      preview.hidden = told.script === "";
    } catch {
      if (mine === asked) estimate.textContent = words.no_answer;
    }
  }

  let timer = 0;
  function later() {
    clearTimeout(timer);
    timer = setTimeout(look, 700);
  }

  function fill(values) {
    for (const box of form.querySelectorAll("input[type=text], select")) {
      if (box.name && !box.name.startsWith("_")) box.value = values[box.name] ?? (box.id === "environment" ? box.value : "");
    }
    for (const radio of form.querySelectorAll("input[type=radio]")) {
      if (radio.name in values) radio.checked = radio.value === values[radio.name];
    }
    adapt();
  }

  async function soonest() {
    offers.hidden = false;
    list.replaceChildren(item(document.createTextNode(words.asking)));
    offers.focus();
    let told;
    try {
      told = await ask("soonest");
    } catch {
      list.replaceChildren(item(document.createTextNode(words.no_answer)));
      return;
    }
    mark(told.problems);
    const found = told.offers.map((offer) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-link p-0 pangeo-offer";
      button.textContent = offer.text;
      button.addEventListener("click", () => {
        fill(offer.choices);
        estimate.textContent = say(words.chosen, { offer: offer.text });
        form.querySelector('button[type=submit]:not([name])').focus();
        later();
      });
      return item(button);
    });
    const none = told.estimate || words.no_offers;
    list.replaceChildren(...(found.length ? found : [item(document.createTextNode(none))]));
  }

  function item(content) {
    const line = document.createElement("li");
    line.append(content);
    return line;
  }

  // -- beginning -------------------------------------------------------------------------------

  document.getElementById("show-preview").hidden = true;
  document.getElementById("show-soonest").addEventListener("click", (event) => {
    event.preventDefault();
    soonest();
  });
  form.addEventListener("change", (event) => {
    mend(event.target.closest("[data-field]"));
    adapt();
    later();
  });
  form.addEventListener("submit", () => {
    const button = form.querySelector("button[type=submit]:not([name])");
    // after the browser has read the form
    setTimeout(() => { button.disabled = true; }, 0);
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) form.querySelector("button[type=submit]:not([name])").disabled = false;
  });
  adapt();
  const problems = document.getElementById("problems");
  if (problems) problems.focus();
  else look();
})();
