// The frame of a mail is as tall as the mail.
(function () {
  var frame = document.querySelector("iframe[data-mail]");
  if (!frame) return;
  var fit = function () {
    var inside = frame.contentDocument;
    if (inside && inside.documentElement) frame.style.height = inside.documentElement.scrollHeight + 8 + "px";
  };
  frame.addEventListener("load", fit);
  window.addEventListener("resize", fit);
  fit();
})();
