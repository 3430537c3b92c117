// The status page: what /health and /v1/tenants say, asked for every 10 seconds while the page is seen.
'use strict';

const PERIOD_MS = 10000;
const LIMIT_MS = 5000;
const element = (id) => document.getElementById(id);
let timer = 0;

async function ask(path) {
  return fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(LIMIT_MS) });
}

async function health() {
  try {
    const answer = await ask('/health');
    if (answer.ok) return { good: true, text: 'Healthy' };
    const problem = await answer.json().catch(() => ({}));
    return { good: false, text: problem.title || `Not healthy (${answer.status})` };
  } catch {
    return { good: false, text: 'No answer' };
  }
}

async function tenants() {
  try {
    const answer = await ask('/v1/tenants');
    if (answer.status === 404) return { note: 'This control plane does not publish its tenants.' };
    if (!answer.ok) return { note: `The tenants can’t be read now (${answer.status}).` };
    const list = (await answer.json()).tenants;
    return list.length ? { list } : { note: 'There are no tenants yet.' };
  } catch {
    return { note: 'The tenants can’t be read now: no answer.' };
  }
}

function row(tenant) {
  const tr = document.createElement('tr');
  const cells = [document.createElement('th'), document.createElement('td'), document.createElement('td')];
  cells[0].scope = 'row';
  cells[0].textContent = tenant.slug;
  const code = document.createElement('code');
  code.textContent = `${location.origin}/mcp/${tenant.slug}`;
  cells[1].append(code);
  cells[2].className = 'number';
  cells[2].textContent = tenant.sessions;
  tr.append(...cells);
  return tr;
}

async function refresh() {
  clearTimeout(timer);
  const [state, found] = await Promise.all([health(), tenants()]);
  const badge = element('health');
  // Changed only when it differs, so that a screen reader speaks of changes alone.
  if (badge.textContent !== state.text) badge.textContent = state.text;
  badge.className = `badge ${state.good ? 'good' : 'bad'}`;
  element('note').hidden = !found.note;
  element('note').textContent = found.note || '';
  element('tenants').hidden = !found.list;
  element('tenants').querySelector('tbody').replaceChildren(...(found.list || []).map(row));
  element('asked').textContent = `Asked at ${new Date().toLocaleTimeString()}.`;
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, PERIOD_MS);
}

element('again').addEventListener('click', refresh);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) refresh();
});
refresh();
