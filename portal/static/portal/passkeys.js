// Makes passkeys and signs in with them. A form says what it wants in data-passkey; its options are in
// data-options or come from its own address. What the device answers goes into the field `credential`.

const decode = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

function encode(buffer) {
  const text = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const named = (list) => (list ?? []).map((item) => ({ ...item, id: decode(item.id) }));

// Written out rather than left to toJSON(), which browsers of 2024 do not have yet.
function plain(credential) {
  const { response } = credential;
  const answer = { clientDataJSON: encode(response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) answer[name] = encode(response[name]);
  }
  if (response.getTransports) answer.transports = response.getTransports();
  return {
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    response: answer,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

async function make({ publicKey }, alone) {
  const options = {
    ...publicKey,
    challenge: decode(publicKey.challenge),
    user: { ...publicKey.user, id: decode(publicKey.user.id) },
    excludeCredentials: named(publicKey.excludeCredentials),
    authenticatorSelection: {
      ...publicKey.authenticatorSelection,
      residentKey: alone ? "required" : "discouraged",
      requireResidentKey: alone,
    },
  };
  if (alone) options.authenticatorSelection.userVerification = "required";
  return plain(await navigator.credentials.create({ publicKey: options }));
}

async function ask({ publicKey }) {
  const options = { ...publicKey, challenge: decode(publicKey.challenge), allowCredentials: named(publicKey.allowCredentials) };
  return plain(await navigator.credentials.get({ publicKey: options }));
}

async function optionsOf(form) {
  if (form.dataset.options) return JSON.parse(form.dataset.options);
  const response = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(response.status === 429 ? "Too many attempts. Wait a minute." : "The server did not answer.");
  return (await response.json()).request_options;
}

function reason(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "Nothing was confirmed on the device. Try again.";
    case "InvalidStateError":
      return "This device has a passkey for your account already.";
    case "SecurityError":
      return "Passkeys need a host name and HTTPS: they work at https://… and at http://localhost, not at an IP address.";
    default:
      return `That did not work: ${error.message}`;
  }
}

async function go(form) {
  const note = form.querySelector("[data-problem]");
  const button = form.querySelector("[type=submit]");
  note.hidden = true;
  button.disabled = true;
  try {
    const options = await optionsOf(form);
    const alone = form.elements.passwordless?.checked ?? false;
    const answer = form.dataset.passkey === "make" ? await make(options, alone) : await ask(options);
    form.elements.credential.value = JSON.stringify(answer);
    form.submit();
  } catch (error) {
    note.querySelector("p").textContent = reason(error);
    note.hidden = false;
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(form);
  });
}
