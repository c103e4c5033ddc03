// Light or dark: the visitor's choice if there is one, else what the system says. Runs before the first paint.
(function () {
  var root = document.documentElement;
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var system = function () { return dark.matches ? "dark" : "light"; };
  var stored = function () { try { return localStorage.getItem("theme"); } catch (e) { return null; } };
  var apply = function () { root.setAttribute("data-bs-theme", stored() || system()); };
  apply();
  root.classList.add("js");
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  document.addEventListener("click", function (event) {
    if (!event.target.closest("[data-theme-switch]")) return;
    var next = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    try {
      // Back to what the system says means to follow the system again.
      if (next === system()) localStorage.removeItem("theme"); else localStorage.setItem("theme", next);
    } catch (e) { /* private mode: the choice lasts for this page */ }
    root.setAttribute("data-bs-theme", next);
  });
})();
