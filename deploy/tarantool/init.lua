-- A Tarantool server for scoring-api, as compose.tarantool.yaml starts it.
local fio = require('fio')
-- Before box.cfg, which changes the working directory.
local here = fio.dirname(fio.abspath(debug.getinfo(1, 'S').source:sub(2)))

box.cfg{
    listen = os.getenv('SCORING_LISTEN') or 3301,
    work_dir = os.getenv('SCORING_WORK_DIR') or '/var/lib/tarantool',
    -- All interests, all cached scores, and an import until it is moved: about 200 bytes each.
    memtx_memory = 256 * 1024 * 1024,
}
package.path = fio.pathjoin(here, '?.lua') .. ';' .. package.path
require('scoring')
