"""The style sheet of a report: colours in variables, which plots use too."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #8a9099; --paper: #ffffff;
  --line: #e3e6ea; --made: #0072B2; --other: #B26A00; --alarm: #C0392B; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --faint: #8a9099;
  --paper: #14171a; --line: #2c3138; --made: #5CB8F0; --other: #E0A040; --alarm: #FF7A6B; } }
body { background: var(--paper); color: var(--ink); margin: 0;
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p { max-width: 46rem; } .note { border-left: 3px solid var(--alarm); padding-left: .7rem; }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; }
figure text { font-family: inherit !important; }
figcaption { color: var(--faint); font-size: .9rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 500; } .left { text-align: left; }
.good { color: var(--made); } .bad { color: var(--alarm); }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; } summary { cursor: pointer; }
"""
