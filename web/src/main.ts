// Starts the page.
import { mount } from 'svelte';

import './app.css';
import App from './App.svelte';
import { startClock } from './clock.svelte';
import { startRouter } from './router.svelte';

startClock();
startRouter();
mount(App, { target: document.getElementById('app')! });
