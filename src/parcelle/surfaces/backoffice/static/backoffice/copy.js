// A button with data-copy="<id>" copies that element's text and says so.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // Without a secure address there is no clipboard: the text is selected, ready for Ctrl-C.
      getSelection().selectAllChildren(source);
      return;
    }
    button.querySelector("[aria-live]").textContent = button.dataset.copied;
  });
}
