"use strict";
(() => {
  // Tables: the heads sort, rows without a value stay last.
  const key = (row, column) => row.cells[column].dataset.value;
  const compare = (numeric) => (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      const order = compare(head.classList.contains("num"));
      const sign = direction === "ascending" ? 1 : -1;
      const known = rows.filter((row) => key(row, column) !== "").sort((a, b) => sign * order(key(a, column), key(b, column)));
      table.tBodies[0].append(...known, ...rows.filter((row) => key(row, column) === ""));
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? direction : "none"));
      document.getElementById("sorted").textContent = `Sorted by ${head.textContent}, ${direction}`;
    }));
  }

  // Charts: a button or a click on a line marks a video in all of them.
  const COLOURS = 6;
  const buttons = [...document.querySelectorAll(".pick")];
  const marked = new Map();
  const free = () => [...Array(COLOURS).keys()].find((slot) => ![...marked.values()].includes(slot)) ?? marked.size % COLOURS;
  const toggle = (video) => {
    const on = !marked.has(video);
    if (on) marked.set(video, free());
    const style = [`s${marked.get(video)}`, "marked"];
    for (const node of document.querySelectorAll(`[data-video="${video}"]`)) {
      node.classList[on ? "add" : "remove"](...style);
      if (on && node.classList.contains("line")) node.parentNode.append(node);
      if (node.matches(".pick")) node.setAttribute("aria-pressed", String(on));
    }
    if (!on) marked.delete(video);
  };
  for (const button of buttons) button.addEventListener("click", () => toggle(button.dataset.video));
  if (buttons.length) {
    for (const line of document.querySelectorAll("g.line")) line.addEventListener("click", () => toggle(line.dataset.video));
    toggle(buttons[0].dataset.video);
    if (buttons.length > 1) toggle(buttons[buttons.length - 1].dataset.video);
  }

  // Clips: one control for a row. The prediction's clock leads; the others follow it.
  const players = [];
  class Player {
    constructor(root) {
      this.root = root;
      this.videos = [...root.querySelectorAll("video")];
      this.lead = root.querySelector('video[data-role="prediction"]');
      this.fps = Number(root.dataset.fps);
      this.frames = Number(root.dataset.frames);
      const numbers = root.dataset.numbers.split(" ").map(Number);
      this.number = numbers.length > 1 ? (frame) => numbers[frame] : (frame) => numbers[0] + frame;
      this.scrub = root.querySelector(".scrub");
      this.time = root.querySelector(".time");
      this.button = root.querySelector(".play");
      this.mark = root.querySelector(".mark");
      this.speed = 1;
      this.wanted = false; // to play
      this.frame = 0;
      for (const video of this.videos) video.removeAttribute("controls");
      this.button.addEventListener("click", () => this.toggle());
      root.querySelector(".back").addEventListener("click", () => this.step(-1));
      root.querySelector(".next").addEventListener("click", () => this.step(1));
      this.scrub.addEventListener("input", () => this.go(Number(this.scrub.value)));
      root.querySelector(".speed").addEventListener("change", (event) => { this.speed = Number(event.target.value); this.rates(); });
      root.addEventListener("keydown", (event) => this.key(event));
      for (const video of this.videos) video.addEventListener("click", () => this.toggle());
      this.show(0);
    }
    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("select")) return;
      if (event.key === " " && event.target.matches("button")) return;
      const moves = { ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), Home: () => this.go(0), End: () => this.go(this.frames - 1), " ": () => this.toggle() };
      if (!moves[event.key]) return;
      event.preventDefault();
      moves[event.key]();
    }
    near() { for (const video of this.videos) video.preload = "auto"; }
    ready() {
      this.near();
      return Promise.all(this.videos.map((video) => video.readyState >= 3 ? null : new Promise((done, failed) => {
        video.addEventListener("canplay", done, { once: true });
        video.addEventListener("error", failed, { once: true });
      })));
    }
    rates() { for (const video of this.videos) video.playbackRate = this.speed; }
    toggle() { if (this.wanted) this.pause(); else this.play(); }
    async play() {
      for (const other of players) if (other !== this && other.wanted) other.pause();
      this.wanted = true;
      this.said(true);
      try {
        await this.ready();
        if (!this.wanted) return;
        this.rates();
        await Promise.all(this.videos.map((video) => video.play()));
        if (this.wanted) this.tick();
      } catch (error) {
        if (this.wanted && error.name !== "AbortError") this.pause();
      }
    }
    pause() {
      this.wanted = false;
      this.said(false);
      for (const video of this.videos) video.pause();
      this.go(this.at());
    }
    said(playing) {
      this.button.firstElementChild.textContent = playing ? "❚❚" : "▶";
      this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
      this.button.title = playing ? "Pause" : "Play";
    }
    at() { return Math.min(this.frames - 1, Math.max(0, Math.floor(this.lead.currentTime * this.fps + 1e-3))); }
    step(by) {
      const from = this.wanted ? this.at() : this.frame;
      if (this.wanted) this.pause();
      this.go((from + by + this.frames) % this.frames);
    }
    go(frame) {
      this.near();
      this.show(frame);
      for (const video of this.videos) video.currentTime = (frame + 0.5) / this.fps; // the middle: no rounding reaches a neighbour
    }
    tick() {
      if (!this.wanted) return;
      this.follow();
      this.show(this.at());
      requestAnimationFrame(() => this.tick());
    }
    follow() {
      const length = this.frames / this.fps;
      for (const video of this.videos) {
        if (video === this.lead || video.seeking || this.lead.seeking) continue;
        let drift = video.currentTime - this.lead.currentTime;
        drift -= Math.round(drift / length) * length; // one may have begun again already
        const frames = Math.abs(drift) * this.fps;
        if (frames > 4) video.currentTime = this.lead.currentTime;
        else if (frames > 0.5) video.playbackRate = this.speed * (drift > 0 ? 0.85 : 1.15);
        else if (frames < 0.15 && video.playbackRate !== this.speed) video.playbackRate = this.speed;
      }
    }
    show(frame) {
      this.frame = frame;
      this.scrub.value = frame;
      const text = `frame ${this.number(frame)} (${frame + 1} of ${this.frames}) · ${(frame / this.fps).toFixed(2)} s`;
      this.time.textContent = text;
      this.scrub.setAttribute("aria-valuetext", text);
      if (this.mark) this.mark.setAttribute("transform", `translate(${(1000 * frame) / Math.max(1, this.frames - 1)} 0)`);
    }
  }
  for (const root of document.querySelectorAll(".player[data-fps]")) players.push(new Player(root));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const player = players.find((one) => one.root === entry.target);
      if (entry.isIntersecting) player.near();
      else if (player.wanted) player.pause();
    }
  }, { rootMargin: "300px" });
  for (const player of players) watch.observe(player.root);

  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details")) part.open = true;
    for (const image of document.images) image.loading = "eager";
  });
})();
