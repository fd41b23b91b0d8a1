import {testPlugin} from './plugin.js';

testPlugin('pgid');
