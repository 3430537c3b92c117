// The console's audit page in Chromium, as an operator uses it. Prints one line for each thing that was seen; ends with 0 when all
// were. usage: console.mjs URL TOKEN SCREENSHOT_DIR
import { chromium } from 'playwright-core';
import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';

const [url, token, shots] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, acceptDownloads: true });
const page = await context.newPage();
const wrong = [];
page.on('pageerror', (error) => wrong.push(String(error)));
page.on('console', (message) => {
  if (message.type() === 'error' && !/401|Failed to load resource|ERR_INCOMPLETE/.test(message.text())) wrong.push(message.text());
});
const rows = () => page.locator('#rows tbody tr');
const seen = (what) => console.log(what);
const admin = (method, path, body) => fetch(`${url}${path}`, {
  method,
  headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
  body: body && JSON.stringify(body),
});

try {
  await page.goto(`${url}/audit.html`);
  await page.fill('#token', 'wrong');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.getElementById('sign-in-note').textContent.includes('operator token'));
  assert.equal(await page.isVisible('#log'), false);
  seen('a wrong token is refused');

  await page.fill('#token', token);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#rows tbody tr');
  await page.waitForFunction(() => document.getElementById('live').textContent === 'Live');
  assert.equal(await rows().count(), 50);
  seen('fifty rows, and live');

  await admin('POST', '/v1/admin/tenants', { slug: 'live', name: '<img src=x onerror=alert(1)>' });
  await page.waitForFunction(() => document.querySelector('#rows tbody').textContent.includes('t_live'));
  seen('a row comes by itself');

  // By keyboard alone: the first row's button, its dialog, and out again.
  await page.locator('#rows tbody button').first().focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('#row[open]');
  const line = await page.textContent('#line');
  assert.equal(JSON.parse(line).tenant_id, 't_live');
  assert.match(await page.textContent('#members'), /<img src=x onerror=alert\(1\)>/);
  assert.equal(await page.locator('#members img').count(), 0);
  await page.screenshot({ path: `${shots}/row.png` });
  await page.keyboard.press('Escape');
  await page.waitForSelector('#row', { state: 'hidden' });
  seen('one row, as text');

  await page.fill('input[name=event]', 'key.*');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => [...document.querySelectorAll('#rows tbody tr')].length === 50
    && [...document.querySelectorAll('#rows tbody tr td:nth-child(2)')].every((td) => td.textContent === 'key.create'));
  await page.click('#older');
  await page.waitForFunction(() => document.querySelectorAll('#rows tbody tr').length === 60);
  assert.equal(await page.isVisible('#older'), false);
  seen('a filter, and older rows');

  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#jsonl')]);
  const text = await readFile(await download.path(), 'utf8');
  assert.equal(text.trim().split('\n').length, 60);
  seen('an export');

  await page.screenshot({ path: `${shots}/wide.png` });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 390, height: 800 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
  await page.screenshot({ path: `${shots}/phone-dark.png` });
  seen('a phone has room for it');

  await page.click('#out');
  await page.waitForSelector('#sign-in:not([hidden])');
  await page.reload();
  await page.waitForSelector('#sign-in:not([hidden])');
  assert.equal(await page.isVisible('#log'), false);
  seen('signed out for good');
  assert.deepEqual(wrong, []);
} finally {
  await browser.close();
}
