import {testPlugin} from './plugin.js';
import {testPrivateTmp} from './private-tmp.js';

testPlugin('pgid');
testPrivateTmp('pgid');
