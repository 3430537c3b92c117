// The audit log: search, page back, watch, open a row, export. Everything that the server says goes in as text, never as markup.
'use strict';

const PAGE = 50;
// What stands on the page while rows come in; older ones are a search away.
const SHOWN_MAX = 500;
const element = (id) => document.getElementById(id);
const LINE = /^(\{"v":.*\})(?:,|\].*)$/;
let stream = null;
let cursor = '';

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { cache: 'no-store', ...options, headers: { 'X-Airlock-Csrf': '1', ...options.headers } });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer.text();
}

function filter() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(element('filter'))) if (value.trim()) wanted.set(name, value.trim());
  return wanted;
}

function state(text, kind = '') {
  const badge = element('live');
  if (badge.textContent !== text) badge.textContent = text;
  badge.className = `badge ${kind}`;
}

// --- rows -------------------------------------------------------------------------------------

function open(line) {
  const row = JSON.parse(line);
  element('row-title').textContent = `Row ${row.seq}: ${row.event}`;
  element('members').replaceChildren(...Object.entries(row).flatMap(([name, value]) => {
    const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
    dt.textContent = name;
    dd.textContent = typeof value === 'object' ? JSON.stringify(value) : value;
    return [dt, dd];
  }));
  element('line').textContent = line;
  element('row').showModal();
}

function show(line) {
  const row = JSON.parse(line);
  const tr = document.createElement('tr');
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = (row.ts || `row ${row.seq}`).replace('T', ' ').replace('Z', '');
  button.addEventListener('click', () => open(line));
  const first = document.createElement('td');
  first.append(button);
  tr.append(first);
  for (const text of [row.event, row.tenant_id, row.actor_name || row.actor_id || row.actor_kind, row.tool || row.target, row.outcome]) {
    const td = document.createElement('td');
    td.textContent = text || '';
    tr.append(td);
  }
  if (row.outcome && row.outcome !== 'ok') tr.lastChild.className = 'refused';
  return tr;
}

const body = () => element('rows').tBodies[0];

async function page() {
  const wanted = filter();
  wanted.set('limit', PAGE);
  if (cursor) wanted.set('cursor', cursor);
  const text = await ask(`/v1/admin/audit?${wanted}`);
  const answer = JSON.parse(text);
  body().append(...text.split('\n').map((line) => LINE.exec(line)).filter(Boolean).map((found) => show(found[1])));
  cursor = answer.next_cursor || '';
  element('older').hidden = !cursor;
  element('note').textContent = answer.behind ? `The newest ${answer.behind} rows can’t be searched yet: the index is being made.`
    : body().rows.length ? '' : 'No row is as it was asked for.';
}

// --- live -------------------------------------------------------------------------------------

function unwatch() {
  if (stream) stream.close();
  stream = null;
}

function watch() {
  unwatch();
  const wanted = filter();
  if (wanted.has('until')) {
    state('Not live: the search has an end');
    return;
  }
  wanted.delete('since');
  stream = new EventSource(`/v1/admin/audit/stream?${wanted}`);
  stream.addEventListener('start', () => state('Live', 'good'));
  stream.addEventListener('message', (event) => {
    const tr = show(event.data);
    tr.className = 'new';
    body().prepend(tr);
    element('note').textContent = '';
    while (body().rows.length > SHOWN_MAX) body().lastChild.remove();
  });
  stream.addEventListener('end', (event) => {
    if (JSON.parse(event.data).reason === 'session_expired') signIn('The session is over.');
  });
  stream.addEventListener('error', () => {
    if (!stream) return;
    // The browser comes back by itself, with the last row that it has; unless it was refused.
    state('Not live: coming back…', 'bad');
    if (stream.readyState === EventSource.CLOSED) ask('/v1/session').then(() => setTimeout(watch, 3000), () => signIn('Sign in again.'));
  });
}

async function search() {
  const exported = filter();
  for (const format of ['jsonl', 'csv']) {
    exported.set('format', format);
    element(format).href = `/v1/admin/audit/export?${exported}`;
  }
  cursor = '';
  body().replaceChildren();
  try {
    await page();
    watch();
  } catch (problem) {
    failed(problem);
  }
}

function failed(problem) {
  if (problem.status === 401) signIn('Sign in again.');
  else element('note').textContent = problem.message;
}

// --- signing in and out -----------------------------------------------------------------------

function signIn(why = '') {
  unwatch();
  state('Not signed in');
  element('log').hidden = element('out').hidden = true;
  element('sign-in').hidden = false;
  element('sign-in-note').textContent = why;
  element('token').focus();
}

function signedIn() {
  element('sign-in').hidden = true;
  element('log').hidden = element('out').hidden = false;
  search();
}

element('sign-in-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const token = element('token').value;
  element('token').value = '';
  try {
    await ask('/v1/session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ operator_token: token }) });
    signedIn();
  } catch (problem) {
    signIn(problem.message);
  }
});
element('out').addEventListener('click', async () => {
  await ask('/v1/session', { method: 'DELETE' }).catch(() => {});
  body().replaceChildren();
  signIn();
});
element('filter').addEventListener('submit', (event) => {
  event.preventDefault();
  search();
});
element('filter').addEventListener('reset', () => setTimeout(search));
element('older').addEventListener('click', () => page().catch(failed));
ask('/v1/session').then(signedIn, () => signIn());
