import { render } from 'preact'
import 'uplot/dist/uPlot.min.css'
import { App } from './app.js'
import { connectLive } from './store.js'
import './styles/base.css'
import './styles/frame.css'
import './styles/views.css'
import { applyTheme } from './theme.js'

applyTheme()
connectLive()
const page = document.getElementById('page')
if (page === null) throw new Error('index.html has no element with the id `page`')
render(<App />, page)
