// Swagger UI is dark where its page is; the choice is the one made on the site, else what the system says.
(function () {
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var apply = function () {
    var chosen = null;
    try { chosen = localStorage.getItem("theme"); } catch (e) { /* private mode */ }
    var isDark = chosen ? chosen === "dark" : dark.matches;
    document.documentElement.classList.toggle("dark-mode", isDark);
    document.documentElement.style.colorScheme = isDark ? "dark" : "light";
  };
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
})();
