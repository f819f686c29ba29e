// What the playground's settings say: read, checked at their fields, filled in again from an earlier request.

const KINDS = ["object", "array", "string", "number", "integer", "boolean", "null"];
const OURS = ["model", "messages", "stream", "stream_options"];
const NUMBERS = ["temperature", "top_p", "max_tokens"];

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function schemaProblem(schema, path = "The schema") {
  if (typeof schema === "boolean") return "";
  if (!isObject(schema)) return `${path} must be an object.`;
  const odd = [schema.type ?? []].flat().find((kind) => !KINDS.includes(kind));
  if (odd !== undefined) return `${path}: “${odd}” is no type; use ${KINDS.join(", ")}.`;
  if (schema.required !== undefined && !Array.isArray(schema.required)) return `${path}: required must be a list.`;
  if (schema.properties !== undefined && !isObject(schema.properties)) return `${path}: properties must be an object.`;
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const problem = schemaProblem(inner, name);
    if (problem) return problem;
  }
  return isObject(schema.items) ? schemaProblem(schema.items, `${path}.items`) : "";
}

// The whole response_format, its json_schema, or the schema alone may be written.
function formatOf(schema) {
  if (schema.type === "json_schema" && schema.json_schema) return schema;
  const named = isObject(schema.schema) && typeof schema.name === "string";
  return { type: "json_schema", json_schema: named ? schema : { name: "answer", schema } };
}

// A function may be written without its wrapping.
const toolOf = (tool) => (isObject(tool) && typeof tool.name === "string" && !tool.type ? { type: "function", function: tool } : tool);

function toolsProblem(tools) {
  const nameless = tools.map(toolOf).findIndex((tool) => !isObject(tool) || (tool.type === "function" && typeof tool.function?.name !== "string"));
  return nameless < 0 ? "" : `Tool ${nameless + 1} needs a name.`;
}

function readJson(field) {
  const text = field.value.trim();
  if (!text) return [undefined, ""];
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return [undefined, `This is not valid JSON: ${error.message}`];
  }
  if (field.dataset.json === "list") return [value, Array.isArray(value) ? toolsProblem(value) : "This must be a list: […]"];
  return [value, isObject(value) ? "" : "This must be an object: {…}"];
}

function problemOf(field, form) {
  const [value, problem] = readJson(field);
  if (problem || field.name !== "schema") return problem;
  if (form.format.value !== "json_schema") return "";
  if (value === undefined) return "Write the schema of the answer, or choose another kind of answer.";
  return schemaProblem(formatOf(value).json_schema.schema);
}

// True when the fields can be sent; otherwise the first that cannot says why.
export function check(form) {
  const fields = form.elements;
  for (const field of form.querySelectorAll("[data-json]")) field.setCustomValidity(problemOf(field, fields));
  if (form.checkValidity()) return true;
  form.querySelector("[data-more]").open = true;
  return form.reportValidity();
}

export function parameters(form) {
  const fields = form.elements;
  const found = {};
  for (const name of NUMBERS) if (fields[name].value) found[name] = Number(fields[name].value);
  const stop = fields.stop.value.split("\n").filter(Boolean);
  if (stop.length) found.stop = stop;
  if (fields.format.value === "json_object") found.response_format = { type: "json_object" };
  if (fields.format.value === "json_schema") found.response_format = formatOf(readJson(fields.schema)[0]);
  const tools = readJson(fields.tools)[0];
  if (tools?.length) found.tools = tools.map(toolOf);
  const extra = { ...readJson(fields.extra)[0] };
  for (const name of OURS) delete extra[name];
  return { ...found, ...extra };
}

export function fill(form, body) {
  const fields = form.elements;
  const { model, messages, stream, stream_options, response_format, tools, stop, ...rest } = body;
  for (const name of NUMBERS) {
    if (typeof rest[name] !== "number") continue;
    fields[name].value = rest[name];
    delete rest[name];
  }
  if (stop) fields.stop.value = [stop].flat().join("\n");
  if (tools) fields.tools.value = JSON.stringify(tools, null, 2);
  if (response_format?.type === "json_schema") fields.schema.value = JSON.stringify(response_format.json_schema, null, 2);
  if (response_format) fields.format.value = response_format.type === "text" ? "" : response_format.type;
  if (Object.keys(rest).length) fields.extra.value = JSON.stringify(rest);
  form.querySelector("[data-more]").open = true;
}

// Settings, models and files as an address; nothing that is said, and neither schema nor tools.
export function shareAddress(form) {
  const data = new FormData(form);
  const query = new URLSearchParams();
  for (const name of ["model", "second", "format", ...NUMBERS]) if (data.get(name)) query.set(name, data.get(name));
  for (const id of data.getAll("file")) query.append("file", id);
  for (const word of data.get("stop").split("\n").filter(Boolean)) query.append("stop", word);
  return `${location.origin}${location.pathname}?${query}`;
}
