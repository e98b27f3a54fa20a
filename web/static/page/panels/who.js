// Who trades: the client's name where the gateway asks for no keys; else a key, asked once and kept in memory only.

import { byId, el, mark, say } from "../dom.js";
import { NAME } from "../session.js";

export function who({ session, stream }) {
  const box = byId("who");
  const dialog = byId("key");
  const name = el("input", {
    name: "client",
    class: "client",
    "aria-label": "Client",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: "64",
    title: "The client whose orders this page places and shows",
  });
  const form = el("form", { class: "client-form" }, el("span", { class: "muted" }, "Client"), name);
  const shown = el("strong", { class: "client" });
  const forget = el("button", { type: "button", class: "quiet small", onclick: () => forgetKey() }, "Forget key");
  const ask = el("button", { type: "button", class: "small", onclick: () => dialog.showModal() }, "Enter key");
  box.append(form, shown, forget, ask);

  const key = el("input", { type: "password", name: "api-key", autocomplete: "off", required: true, "aria-describedby": "key-why" });
  const why = el("p", { id: "key-why", role: "alert" });
  dialog.append(
    el(
      "form",
      {
        method: "dialog",
        onsubmit: (event) => {
          event.preventDefault();
          const text = key.value.trim();
          key.value = "";
          dialog.close();
          if (text) session.enter(text);
        },
      },
      el("h2", { id: "key-title" }, "API key"),
      why,
      el("label", { class: "field" }, el("span", { class: "label" }, "Key"), key),
      el("p", { class: "muted" }, "The key stays in this page's memory: it is in no storage and no address, and a reload forgets it."),
      el("button", { type: "submit", class: "send buy" }, "Use this key"),
    ),
  );

  const forgetKey = () => {
    session.refuse("Enter another API key.", session.key);
    stream.connect();
  };

  function paint() {
    form.hidden = session.hasKey || session.wantsKey.value !== null;
    shown.hidden = !session.hasKey;
    forget.hidden = !session.hasKey;
    ask.hidden = session.wantsKey.value === null;
    say(shown, session.client.value ?? "…");
    if (document.activeElement !== name) name.value = session.client.value ?? "";
  }

  function rename(event) {
    event?.preventDefault();
    const text = name.value.trim();
    const isGood = NAME.test(text);
    mark(name, "aria-invalid", isGood ? null : "true");
    mark(name, "title", isGood ? "The client whose orders this page places and shows" : "1 to 64 of A-Z a-z 0-9 . _ : -");
    if (isGood && text !== session.client.value) session.client.set(text);
  }

  form.addEventListener("submit", (event) => {
    rename(event);
    name.blur();
  });
  name.addEventListener("change", rename);
  session.client.on(paint);
  session.wantsKey.on((sentence) => {
    paint();
    if (sentence === null) return;
    say(why, sentence);
    if (!dialog.open) dialog.showModal();
    key.focus();
  });
  paint();
}
