// Copy buttons: <button data-copy="id of the element"> with the text to show afterwards in data-copied.
document.addEventListener("click", async function (event) {
  var button = event.target.closest("[data-copy]");
  if (!button) return;
  var source = document.getElementById(button.dataset.copy);
  var text = source.textContent.trim();
  try {
    await navigator.clipboard.writeText(text);
  } catch (e) {
    // Without a secure connection there is no clipboard interface; the old way still works.
    var range = document.createRange();
    range.selectNodeContents(source);
    var selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    document.execCommand("copy");
    selection.removeAllRanges();
  }
  var label = button.querySelector("[data-copy-label]");
  var icon = button.querySelector(".ti");
  var before = label.textContent;
  label.textContent = button.dataset.copied;
  icon.classList.replace("ti-copy", "ti-check");
  setTimeout(function () {
    label.textContent = before;
    icon.classList.replace("ti-check", "ti-copy");
  }, 2000);
});
