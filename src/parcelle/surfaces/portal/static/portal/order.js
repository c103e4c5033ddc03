// The payment page: sends once, and goes on by itself when there is somewhere to go.
(function () {
  var form = document.querySelector("form[data-once]");
  if (form) {
    form.addEventListener("submit", function (event) {
      if (form.dataset.sent) { event.preventDefault(); return; }
      form.dataset.sent = "1";
      form.querySelector("button[type=submit]").classList.add("btn-loading");
    });
    window.addEventListener("pageshow", function () {
      delete form.dataset.sent;
      form.querySelector("button[type=submit]").classList.remove("btn-loading");
    });
  }
  var progress = document.getElementById("progress");
  if (!progress) return;
  var go = function () {
    var onward = progress.querySelector("[data-go]");
    if (onward) location.assign(onward.dataset.go);
  };
  new MutationObserver(go).observe(progress, { childList: true, subtree: true });
  go();
})();
