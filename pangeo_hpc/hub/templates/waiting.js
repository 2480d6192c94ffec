/* The page of a server that waits: one line that changes, times that tick, a way to cancel. */
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("waiting-data").textContent);
  const texts = data.texts;
  // the page around it may be in another language
  const language = document.getElementById("waiting").lang;
  const part = (name) => document.getElementById(`waiting-${name}`);
  const skew = data.event.now - Date.now() / 1000;
  const tab = document.title.slice(texts.tab_waiting.length);
  const remembered = "pangeo-hpc-notify";
  // a proxy can keep a stream open whose hub is gone: one that is silent is opened anew
  const patience = 30000;
  let event = data.event;
  let source = null;
  let watch = 0;
  let over = false;
  let cancelling = false;

  const fill = (text, values) =>
    text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));

  const show = (name, text) => {
    const element = part(name);
    // a live region is read out again whenever it is set
    if (element.textContent !== text) element.textContent = text;
    element.hidden = text === "";
  };

  const clock = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    const two = (number) => String(number).padStart(2, "0");
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  };

  const soon = (seconds) => {
    const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
    if (seconds < 90) return format.format(Math.max(0, Math.round(seconds)), "second");
    if (seconds < 5400) return format.format(Math.round(seconds / 60), "minute");
    if (seconds < 129600) return format.format(Math.round(seconds / 3600), "hour");
    return format.format(Math.round(seconds / 86400), "day");
  };

  const tick = () => {
    if (over) return;
    const now = Date.now() / 1000 + skew;
    if (event.asked) {
      const elapsed = clock(now - event.asked);
      part("elapsed").textContent = elapsed;
      document.title = `${texts.tab_waiting} ${elapsed.slice(0, -3)}${tab}`;
    }
    let start = texts.no_estimate;
    if (event.estimated_start) {
      const how = { dateStyle: "medium", timeStyle: "short" };
      const when = new Date((event.estimated_start - skew) * 1000);
      const away = event.estimated_start - now;
      start = when.toLocaleString(language, how);
      if (away > 0) start += ` (${soon(away)})`;
    }
    part("estimated").textContent = start;
  };

  const render = (told) => {
    event = told;
    show("line", told.line.join(" "));
    show("advice", told.advice ? fill(texts.advice, told) : "");
    show("words", told.words ? fill(texts.words, told) : "");
    part("job").textContent = told.job || "–";
    tick();
  };

  const notify = (text) => {
    if (!wanted()) return;
    try {
      const note = new Notification(text, { tag: `pangeo-hpc-${data.server}` });
      note.onclick = () => window.focus();
    } catch (problem) {
      // some browsers let only service workers notify
      console.warn(problem);
    }
  };

  const wanted = () =>
    "Notification" in window &&
    Notification.permission === "granted" &&
    window.localStorage.getItem(remembered) === "on";

  /* Leave the waiting behind and say what came of it. */
  const end = (mark, line) => {
    over = true;
    clearTimeout(watch);
    source.close();
    document.title = `${mark}${tab}`;
    part("facts").hidden = true;
    part("lost").hidden = true;
    show("line", line);
  };

  const failed = (told) => {
    end(texts.tab_failed, "");
    part("title").textContent = texts.failed;
    const place = part("end");
    // made by the hub, which escapes whatever a log or a scheduler said
    if (told.html_message) place.innerHTML = told.html_message;
    else place.textContent = told.message;
    place.hidden = false;
    part("title").focus();
    notify(texts.failed);
  };

  const cancelled = () => {
    end(texts.tab_cancelled, "");
    part("title").textContent = texts.cancelled;
    const place = part("end");
    const link = document.createElement("a");
    link.href = data.home;
    link.className = "btn btn-primary";
    link.textContent = texts.home;
    place.replaceChildren(link);
    place.hidden = false;
    part("title").focus();
  };

  const ready = () => {
    end(texts.tab_ready, texts.ready);
    notify(texts.ready);
    // the hub sends this page on to the server, or to where its user wanted to go
    window.location.reload();
  };

  const ask = (path, method) =>
    fetch(`${data.api}${path}`, { method, headers: { "X-XSRFToken": window.jhdata.xsrf_token } });

  const gone = async () => {
    const answer = await ask("?include_stopped_servers=1", "GET");
    if (!answer.ok) return false;
    const server = (await answer.json()).servers[data.server];
    return !server || (!server.pending && !server.ready);
  };

  const cancel = async () => {
    cancelling = true;
    part("dialog").close();
    part("buttons").hidden = true;
    show("line", texts.cancelling);
    try {
      const path = data.server ? `/servers/${encodeURIComponent(data.server)}` : "/server";
      const answer = await ask(path, "DELETE");
      if (!answer.ok) throw new Error(answer.statusText);
      while (!(await gone())) await new Promise((done) => setTimeout(done, 1000));
      cancelled();
    } catch (problem) {
      console.warn(problem);
      cancelling = false;
      part("buttons").hidden = false;
      show("line", texts.cancel_failed);
    }
  };

  const hear = (message) => {
    const told = JSON.parse(message.data);
    part("lost").hidden = true;
    if (over || cancelling) return;
    stayAwake();
    if (told.ready) ready();
    else if (told.failed && told.message === "Spawn cancelled") cancelled();
    else if (told.failed) failed(told);
    else if (told.line) render(told);
  };

  const lose = () => {
    if (over || cancelling) return;
    part("lost").hidden = false;
    // a refusal ends the stream: the hub was started anew, or the wait came to its end meanwhile
    if (source.readyState === EventSource.CLOSED) setTimeout(again, 5000);
  };

  const again = async () => {
    if (over || cancelling) return;
    const answer = await fetch(window.location.href).catch(() => null);
    if (answer && answer.status < 500) window.location.reload();
    else setTimeout(again, 5000);
  };

  const connect = () => {
    if (source) source.close();
    source = new EventSource(data.progress);
    source.onmessage = hear;
    source.onerror = lose;
    stayAwake();
  };

  const stayAwake = () => {
    clearTimeout(watch);
    watch = setTimeout(connect, patience);
  };

  connect();
  part("buttons").hidden = false;
  part("cancel").onclick = () => part("dialog").showModal();
  part("no").onclick = () => part("dialog").close();
  part("yes").onclick = cancel;
  if ("Notification" in window) {
    part("notify").hidden = wanted();
    if (wanted()) show("told", texts.notify_on);
    part("notify").onclick = async () => {
      const answer = await Notification.requestPermission();
      if (answer === "granted") window.localStorage.setItem(remembered, "on");
      part("notify").hidden = answer === "granted";
      show("told", answer === "granted" ? texts.notify_on : texts.notify_off);
    };
  }
  render(event);
  setInterval(tick, 1000);
})();
