import {testPlugin} from './plugin.js';

testPlugin('linuxproc');
