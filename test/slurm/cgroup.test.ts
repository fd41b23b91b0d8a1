import {testPlugin} from './plugin.js';

testPlugin('cgroup');
