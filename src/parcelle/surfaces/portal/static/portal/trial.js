// The trial form: says what is missing before anything is sent, and sends once.
(function () {
  var form = document.querySelector("form[data-trial]");
  if (!form) return;
  var alert = document.getElementById("form-alert");
  form.noValidate = true;

  var box = function (input) { return input.closest(".field"); };
  var say = function (input, sentence) {
    var place = box(input).querySelector(".invalid-feedback");
    input.classList.toggle("is-invalid", !!sentence);
    if (sentence) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    if (place) place.textContent = sentence;
  };
  var problem = function (input) {
    if (input.validity.valueMissing || (input.required && input.type !== "checkbox" && !input.value.trim())) {
      return input.type === "checkbox" ? form.dataset.terms : form.dataset.required;
    }
    if (input.validity.typeMismatch) return form.dataset.email;
    return "";
  };
  var inputs = function () {
    return Array.prototype.filter.call(form.elements, function (input) {
      return input.willValidate && box(input) && !input.closest("altcha-widget");
    });
  };

  form.addEventListener("submit", function (event) {
    var wrong = inputs().filter(function (input) { var p = problem(input); say(input, p); return p; });
    if (wrong.length) {
      event.preventDefault();
      event.stopImmediatePropagation();
      var sentences = [];
      if (wrong.some(function (i) { return i.type !== "checkbox" && !i.validity.typeMismatch; })) sentences.push(form.dataset.missing);
      if (wrong.some(function (i) { return i.type === "checkbox"; })) sentences.push(form.dataset.terms);
      if (!sentences.length) sentences.push(form.dataset.check);
      alert.replaceChildren.apply(alert, sentences.map(function (sentence) {
        var line = document.createElement("div");
        line.textContent = sentence;
        return line;
      }));
      alert.closest(".alert").hidden = false;
      wrong[0].focus();
      return;
    }
    if (form.dataset.sent) { event.preventDefault(); return; }
    // Only what is really on its way counts as sent: the puzzle may still hold the form back.
    setTimeout(function () {
      if (event.defaultPrevented) return;
      form.dataset.sent = "1";
      var button = form.querySelector("button[type=submit]");
      button.setAttribute("aria-disabled", "true");
      button.classList.add("btn-loading");
    });
  }, true);

  form.addEventListener("input", function (event) {
    if (event.target.classList.contains("is-invalid") && !problem(event.target)) say(event.target, "");
  });
  // Coming back with the browser's Back button: the form may be sent again.
  window.addEventListener("pageshow", function () {
    delete form.dataset.sent;
    var button = form.querySelector("button[type=submit]");
    button.removeAttribute("aria-disabled");
    button.classList.remove("btn-loading");
  });
})();
