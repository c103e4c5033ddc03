// The live page of a deployment: says changes aloud, lets running clocks tick, and asks by itself when the stream is silent.
(function () {
  var place = document.getElementById("progress");
  if (!place) return;
  var aloud = document.getElementById("progress-aloud");
  var finished = function () { return !!place.querySelector("[data-finished]"); };
  var heard = Date.now();
  var shown = 0;

  var taken = function () {
    shown = Date.now();
    var now = place.querySelector("[data-announce]");
    if (now && aloud.textContent !== now.dataset.announce) aloud.textContent = now.dataset.announce;
    var title = place.querySelector("[data-title]");
    if (title) document.title = title.dataset.title;
  };
  document.body.addEventListener("htmx:sseMessage", function () { heard = Date.now(); taken(); });

  // A clock starts from the age the server measured, so it is right even when the visitor's clock is wrong.
  var tick = function () {
    place.querySelectorAll("[data-elapsed]").forEach(function (clock) {
      var seconds = Math.floor(parseFloat(clock.dataset.elapsed) + (Date.now() - shown) / 1000);
      var minutes = Math.floor(seconds / 60);
      clock.textContent = (minutes ? minutes + "\u00a0min\u00a0" + String(seconds % 60).padStart(2, "0") : seconds) + "\u00a0s";
    });
  };

  var poll = async function () {
    var answer = await fetch(place.dataset.poll, { headers: { "X-Requested-With": "fetch" }, cache: "no-store" });
    if (answer.ok) { place.innerHTML = await answer.text(); taken(); }
  };
  taken();
  setInterval(function () {
    if (finished()) return;
    tick();
    // The stream sends the state at once and then at every change or within seconds: silence means it is broken.
    if (Date.now() - heard > 20000 || (place.dataset.broken && Date.now() - shown > 2500)) {
      poll().catch(function () { /* the server is away: the next tick asks again */ });
      shown = heard = Date.now();
    }
  }, 1000);
  document.body.addEventListener("htmx:sseError", function () { place.dataset.broken = "1"; });
  document.body.addEventListener("htmx:sseOpen", function () { delete place.dataset.broken; });
})();
