import {test, useBench} from './helpers/jobbus.js';

useBench();

test('the command has a bus that nobody else is on', async t => {
  const {code, stdout, stderr} = await t.context.run([
    '--', 'dbus-send', '--session', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.ListNames',
  ]);
  t.is(stderr, '');
  t.is(code, 0);
  t.deepEqual(stdout.match(/[:\w.]*[\w.]+/g), ['array', 'org.freedesktop.DBus', ':1.0']);
});
