/*
 * The time a batch job has left, in JupyterLab's status bar; a warning before its walltime is over,
 * which saves what is open; and one before an idle server is stopped.
 *
 * This is a prebuilt extension written by hand: a module federation container has an `init` that
 * takes what JupyterLab shares and a `get` that gives a module. There is nothing to build.
 */
(() => {
  "use strict";

  const NAME = "@pangeo-hpc/time-left";
  const AREAS = ["main", "left", "right", "down"];
  const HANDS = ["pointerdown", "keydown", "wheel", "touchstart"];
  const ASK_EVERY = 60;

  // -- words --------------------------------------------------------------------------------------

  const UNITS = { day: 86400, hour: 3600, minute: 60, second: 1 };

  /** Says the texts of the site's catalogue, which the server hands over; see `texts.json`. */
  class Words {
    constructor({ language, lab, units }) {
      Object.assign(this, { language, lab, units });
    }

    fill(text, values) {
      return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
    }

    say(key, values = {}) {
      return this.fill(this.lab[key], values);
    }

    /** Say a text that has a form for one and a form for many. */
    many(number, key, texts = this.lab) {
      return this.fill(texts[`${key}_${number === 1 ? "one" : "many"}`], { number });
    }

    /** Return seconds for a person: to the minute, or to the second when few are left. */
    time(seconds) {
      let rest = Math.max(0, Math.floor(seconds));
      const parts = [];
      for (const [name, size] of Object.entries(UNITS)) {
        const number = Math.floor(rest / size);
        rest %= size;
        if (number && (name !== "second" || !parts.length)) {
          parts.push(this.many(number, name, this.units));
        }
      }
      return parts.slice(0, 2).join(" ") || this.many(0, "second", this.units);
    }

    /** Return what stands in the status bar; it ticks by the second in the last minutes. */
    short(left, last) {
      if (left <= 0) {
        return this.say("over");
      }
      const whole = Math.floor(left / 60);
      const hours = Math.floor(whole / 60);
      if (left <= last) {
        const seconds = String(Math.floor(left % 60)).padStart(2, "0");
        return this.say("left_seconds", { minutes: whole, seconds });
      }
      return this.say(hours ? "left_hours" : "left_minutes", { hours, minutes: whole % 60 });
    }

    clock(seconds) {
      const how = { hour: "2-digit", minute: "2-digit" };
      // English is also what nobody chose: there, the browser's own way to write a time is better
      const language = this.language === "en" ? [] : this.language;
      return new Date(seconds * 1000).toLocaleTimeString(language, how);
    }

    saved({ saved, failed }) {
      const said = saved ? ` ${this.many(saved, "saved")}` : "";
      return failed ? `${said} ${this.many(failed, "unsaved")}` : said;
    }
  }

  // -- saving -------------------------------------------------------------------------------------

  /** Save every open document that has changes; return how many were and how many could not be. */
  async function saveAll(shell) {
    const contexts = new Set();
    for (const area of AREAS) {
      let widgets = [];
      try {
        widgets = [...shell.widgets(area)];
      } catch {
        // not every shell has every area
      }
      for (const { context } of widgets) {
        const model = context && context.model;
        if (model && model.dirty && !model.readOnly && typeof context.save === "function") {
          contexts.add(context);
        }
      }
    }
    const done = await Promise.allSettled([...contexts].map(context => context.save()));
    const failed = done.filter(each => each.status === "rejected").length;
    return { saved: done.length - failed, failed };
  }

  // -- the watch ----------------------------------------------------------------------------------

  class Watch {
    constructor(app, show, notification, ask) {
      Object.assign(this, { app, show, notification, ask });
      this.state = null;
      this.warned = null;
      this.notes = {};
      this.touched = 0;
    }

    async start() {
      // a JupyterLab that is no job of ours has no such page, and nothing is shown
      if (!(await this.learn()) || !(await this.refresh())) {
        return;
      }
      setInterval(() => this.tick(), 1000);
      document.addEventListener("visibilitychange", () => this.refresh());
      for (const name of HANDS) {
        document.addEventListener(name, () => this.touch(), { capture: true, passive: true });
      }
    }

    now() {
      return Date.now() / 1000 + this.offset;
    }

    /** Ask for the words; return whether there are any. */
    async learn() {
      try {
        this.words = new Words(await this.ask("GET", "texts"));
      } catch {
        return false;
      }
      return true;
    }

    /** Ask the server; return whether it ever answered. */
    async refresh() {
      this.asked = Date.now() / 1000;
      try {
        const told = await this.ask("GET", "time-left");
        this.offset = told.now - Date.now() / 1000;
        this.state = told;
        this.tick();
      } catch {
        // the last answer counts: JupyterLab itself says when the server is away
      }
      return this.state !== null;
    }

    tick() {
      const { state } = this;
      const every = state.idle.after ? Math.min(ASK_EVERY, Math.max(2, state.idle.after / 6)) : ASK_EVERY;
      if (Date.now() / 1000 - this.asked >= every) {
        this.refresh();
      }
      const left = state.ends === null ? null : Math.max(0, state.ends - this.now());
      this.show(left, state, this.words);
      this.warn(left);
      this.warnIdle();
    }

    /** Warn once at each time; a walltime that was extended is warned of again. */
    async warn(left) {
      if (left === null || (this.warned !== null && left > this.warned)) {
        this.warned = null;
        this.dismiss("end");
      }
      const reached = left === null ? [] : this.state.warn_at.filter(each => left <= each);
      const nearest = Math.min(...reached);
      if (!reached.length || (this.warned !== null && this.warned <= nearest)) {
        return;
      }
      this.warned = nearest;
      const { words } = this;
      const at = words.clock(this.state.ends);
      const saved = await saveAll(this.app.shell);
      const text = words.say("ends", { time: words.time(left), at });
      this.notify("end", `${text}${words.saved(saved)}`);
    }

    /** Warn before a server in which nothing runs is stopped; whoever is there keeps it. */
    async warnIdle() {
      const { stops_at: stops, after } = this.state.idle;
      const ahead = stops === null ? null : stops - this.now();
      if (ahead === null || ahead > Math.min(600, after / 2)) {
        this.dismiss("idle");
        return;
      }
      if (this.notes.idle) {
        return;
      }
      this.notes.idle = "soon";
      const saved = await saveAll(this.app.shell);
      const { words } = this;
      const text = words.say("idle", { time: words.time(after - ahead), at: words.clock(stops) });
      this.notify("idle", `${text}${words.saved(saved)}`, [
        { label: words.say("keep"), callback: () => this.touch(true) },
      ]);
    }

    /** Tell the server that a person is there, not more often than it needs to know. */
    async touch(now = false) {
      const pause = Math.min(60, Math.max(1, (this.state.idle.after || 240) / 4));
      const moment = Date.now() / 1000;
      if (!now && !this.notes.idle && moment - this.touched < pause) {
        return;
      }
      this.touched = moment;
      this.state.idle.stops_at = null;
      this.dismiss("idle");
      try {
        await this.ask("POST", "present");
      } catch {
        this.touched = 0;
      }
    }

    notify(key, text, actions = []) {
      this.dismiss(key);
      this.notes[key] = this.notification.warning(text, { autoClose: false, actions });
    }

    dismiss(key) {
      const id = this.notes[key];
      delete this.notes[key];
      if (id && id !== "soon") {
        this.notification.dismiss(id);
      }
    }
  }

  // -- JupyterLab ---------------------------------------------------------------------------------

  /** Return a plain text in the status bar, and what fills it. */
  function makeItem(Widget) {
    const node = document.createElement("span");
    node.setAttribute("role", "timer");
    node.setAttribute("data-pangeo-hpc", "time-left");
    node.className = "jp-StatusBar-TextItem";
    const widget = new Widget({ node });
    widget.hide();
    const show = (left, state, words) => {
      widget.setHidden(left === null);
      if (left === null) {
        return;
      }
      const last = Math.min(...state.warn_at);
      const text = words.short(left, last);
      if (node.textContent === text) {
        return;
      }
      const isSoon = left <= Math.max(...state.warn_at);
      node.textContent = text;
      const { node: host, ends } = state;
      node.title = words.say("job", { job: state.job ?? "–", node: host, at: words.clock(ends) });
      node.lang = words.language;
      node.style.fontWeight = isSoon ? "bold" : "";
      node.style.color = isSoon ? "var(--jp-error-color1)" : "";
    };
    return { widget, show };
  }

  function plugin({ IStatusBar }, { Notification }, { Widget }, { ServerConnection }, { URLExt }) {
    return {
      id: `${NAME}:plugin`,
      description: "The time a batch job has left, and warnings before it ends.",
      autoStart: true,
      optional: [IStatusBar],
      activate: (app, statusBar) => {
        const settings = app.serviceManager.serverSettings;
        const ask = async (method, page) => {
          const url = URLExt.join(settings.baseUrl, "pangeo-hpc", page);
          const answer = await ServerConnection.makeRequest(url, { method }, settings);
          if (!answer.ok) {
            throw new Error(`${page}: ${answer.status}`);
          }
          return method === "GET" ? answer.json() : null;
        };
        const { widget, show } = makeItem(Widget);
        if (statusBar) {
          statusBar.registerStatusItem(`${NAME}:item`, { item: widget, align: "right", rank: 10 });
        }
        const watch = new Watch(app, show, Notification, ask);
        app.restored.then(() => watch.start());
      },
    };
  }

  // -- the container ------------------------------------------------------------------------------

  let shared = {};

  async function take(name) {
    const versions = Object.values(shared[name] || {});
    const chosen = versions.find(each => each.loaded) || versions[0];
    if (!chosen) {
      throw new Error(`${NAME}: JupyterLab does not share ${name}`);
    }
    return (await chosen.get())();
  }

  async function get(module) {
    if (module !== "./extension") {
      throw new Error(`${NAME} has no ${module}`);
    }
    const names = ["statusbar", "apputils", "services", "coreutils"].map(name => `@jupyterlab/${name}`);
    const [statusbar, apputils, services, coreutils] = await Promise.all(names.map(take));
    const widgets = await take("@lumino/widgets");
    const made = { __esModule: true, default: plugin(statusbar, apputils, widgets, services, coreutils) };
    return () => made;
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: scope => {
      shared = scope;
    },
    get,
  };
})();
