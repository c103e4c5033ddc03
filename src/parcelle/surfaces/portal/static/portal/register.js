// The order form: the sum beside it follows what is typed; nothing is sent twice.
const form = document.querySelector("form[data-register]");
const place = document.getElementById("summary");
const said = document.getElementById("id_coupon_said");
const coupon = form.elements.coupon;
const remove = form.querySelector("[data-remove-coupon]");
const apply = form.querySelector("[data-preview]");
const eu = form.dataset.eu.split(" ");

const fits = () => {
  const country = form.elements.country.value;
  form.querySelectorAll("[data-for]").forEach((box) => {
    box.hidden = box.dataset.for === "EU" ? !eu.includes(country) : box.dataset.for !== country;
  });
  form.querySelectorAll("[data-buyer]").forEach((box) => { box.hidden = form.elements.kind.value === "person"; });
};

const addOns = form.querySelectorAll("[data-add-ons] input");
let asked = 0;
const refresh = async () => {
  const number = ++asked;
  const values = new URLSearchParams();
  for (const name of ["price", "country", "kind", "company", "email", "vat_number", "coupon"]) values.set(name, form.elements[name].value);
  addOns.forEach((field) => values.set(field.name, field.value));
  const answer = await fetch(`${form.dataset.register}?${values}`, { cache: "no-store" });
  if (!answer.ok || number !== asked) return;
  place.innerHTML = await answer.text();
  const refused = place.querySelector("[data-refused]");
  const taken = place.querySelector("[data-coupon]");
  coupon.classList.toggle("is-invalid", !!refused);
  remove.hidden = !coupon.value;
  apply.hidden = !!taken;
  said.textContent = refused ? refused.dataset.refused : "";
  said.className = refused ? "invalid-feedback d-block" : "";
  if (refused) refused.remove();
};
const quietly = () => refresh().catch(() => { /* the sum is asked for again at the next change */ });

// What was typed outlives a reload and a sign-in in this tab, and no longer; what the server filled in stays.
const kept = ["kind", "last_name", "first_name", "company", "email", "phone", "country", "address", "postcode", "city", "vat_number", "siren", "coupon"];
const draft = "parcelle.order";
const keep = () => {
  const values = [...kept, ...[...addOns].map((field) => field.name)].map((name) => [name, form.elements[name].value]);
  try { sessionStorage.setItem(draft, JSON.stringify(Object.fromEntries(values))); } catch { /* no storage: nothing outlives */ }
};
const restore = () => {
  let values = {};
  try { values = JSON.parse(sessionStorage.getItem(draft) || "{}"); } catch { return; }
  const fresh = !form.querySelector(".is-invalid");
  for (const name of kept) {
    const field = form.elements[name];
    if (!values[name] || field.disabled || !fresh) continue;
    if (!field.value || name === "country" || name === "kind") field.value = values[name];
  }
  if (fresh) addOns.forEach((field) => { if (field.value === "0" && values[field.name]) field.value = values[field.name]; });
};

let waiting;
const soon = () => { clearTimeout(waiting); waiting = setTimeout(quietly, 300); };
form.addEventListener("input", keep);
form.elements.country.addEventListener("change", () => { fits(); quietly(); });
form.elements.kind.forEach((choice) => choice.addEventListener("change", () => { fits(); quietly(); }));
form.elements.company.addEventListener("change", soon);
form.elements.email.addEventListener("change", soon);
form.elements.vat_number.addEventListener("change", soon);
addOns.forEach((field) => field.addEventListener("input", soon));
coupon.addEventListener("input", soon);
apply.addEventListener("click", (event) => { event.preventDefault(); quietly(); });
remove.addEventListener("click", () => { coupon.value = ""; coupon.focus(); keep(); quietly(); });
form.addEventListener("submit", (event) => {
  if (event.submitter?.name === "other") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
  try { sessionStorage.removeItem(draft); } catch { /* there is nothing to forget */ }
  form.querySelector("button.btn-primary").classList.add("btn-loading");
});
window.addEventListener("pageshow", () => {
  delete form.dataset.sent;
  form.querySelector("button.btn-primary").classList.remove("btn-loading");
});
restore();
fits();
quietly();
