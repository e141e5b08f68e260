-- The functions that scoring-api calls on a Tarantool server, and the spaces behind them.
--
-- Put this file beside the server's own script, and load it there, after box.cfg{}:
--
--     require('scoring')
--
-- Environment of the server:
--   SCORING_PASSWORD         the password of the user 'scoring', who may read interests, and read and write the cache
--   SCORING_IMPORT_PASSWORD  the password of the user 'scoring_import', who may import and export; without it, there is
--                            no such user
--
-- The name of the file is the name of everything: as ratings.lua it makes ratings.get_many, the user 'ratings' and so
-- on, and reads RATINGS_PASSWORD. Both users may call these functions and nothing else. The functions run with the rights of
-- the server's own script (setuid).
--
-- A value in the cache expires by the server's monotonic clock, so steps of the wall clock do not matter. The cache is a
-- temporary space: it is neither in the log nor replicated, and a replica can write it.

local clock = require('clock')
local ffi = require('ffi')
local fiber = require('fiber')
local log = require('log')

local name = ... or 'scoring'

-- An answer of more bytes is refused by the service.
local ANSWER_LIMIT = 60 * 1024 * 1024
-- Bytes of a page of an export.
local PAGE_LIMIT = 4 * 1024 * 1024
-- Rows that are moved or deleted before others have their turn.
local PIECE = 100
local EXPIRED_PIECE = 1000
local COUNTED_PIECE = 1000
-- Seconds after which an import that is not continued is forgotten.
local FORGOTTEN_AFTER = 3600
-- Bytes of a key; the service's have at most 36.
local LONGEST_KEY = 255

local before = rawget(_G, name)
if type(before) == 'table' and before.stop ~= nil then
    before.stop()
end

local M = {}
local seq = {__serialize = 'seq'}
-- The imports that are not committed: the rows of each so far, and the time of the last.
local staging = {}
local wake = fiber.cond()
local fibers = {}

-- The server may have declared them itself.
pcall(ffi.cdef, [[
int box_index_get(uint32_t space_id, uint32_t index_id, const char *key, const char *key_end, struct tuple **result);
const char *box_tuple_field(struct tuple *tuple, uint32_t fieldno);
]])
local chars, unsigned_chars = ffi.typeof('const char *'), ffi.typeof('const unsigned char *')
local key_buffer = ffi.new('unsigned char[?]', LONGEST_KEY + 3)
local found = ffi.new('struct tuple *[1]')

local function space(suffix)
    return box.space[name .. suffix]
end

local function set_up()
    local key_and_value = {{'key', 'string'}, {'value', 'any'}}
    local interests = box.schema.space.create(name .. '_interests', {if_not_exists = true, format = key_and_value})
    interests:create_index('primary', {if_not_exists = true, parts = {1, 'string'}})

    local cache = box.schema.space.create(name .. '_cache', {
        if_not_exists = true,
        temporary = true,
        format = {{'key', 'string'}, {'value', 'any'}, {'expires', 'number'}},
    })
    cache:create_index('primary', {if_not_exists = true, parts = {1, 'string'}, type = 'hash'})
    cache:create_index('expires', {if_not_exists = true, parts = {3, 'number'}, unique = false})

    -- The rows of imports, until they are moved to the interests.
    local staged = box.schema.space.create(name .. '_staged', {
        if_not_exists = true,
        format = {{'import', 'string'}, {'key', 'string'}, {'value', 'any', is_nullable = true}},
    })
    staged:create_index('primary', {if_not_exists = true, parts = {1, 'string', 2, 'string'}})

    -- The committed imports, in the order of their commits.
    local live = box.schema.space.create(name .. '_live', {
        if_not_exists = true,
        format = {{'number', 'unsigned'}, {'import', 'string'}},
    })
    live:create_index('primary', {if_not_exists = true, parts = {1, 'unsigned'}})

    local function user(user_name, variable, functions)
        local password = os.getenv(variable)
        if password == nil or password == '' then
            return false
        end
        box.schema.user.create(user_name, {if_not_exists = true})
        box.schema.user.passwd(user_name, password)
        for _, f in ipairs(functions) do
            local full = name .. '.' .. f
            box.schema.func.create(full, {setuid = true, if_not_exists = true})
            box.schema.user.grant(user_name, 'execute', 'function', full, {if_not_exists = true})
        end
        return true
    end
    local prefix = name:upper()
    if not user(name, prefix .. '_PASSWORD', {'get_many', 'sizes', 'cache_get', 'cache_put'}) then
        error(prefix .. '_PASSWORD is not set: it is the password of the user ' .. name)
    end
    user(name .. '_import', prefix .. '_IMPORT_PASSWORD',
        {'get_many', 'import_stage', 'import_commit', 'import_cancel', 'page'})
end

-- The stored value of a key: a string, nil, or false for a value of another kind.
--
-- As `space:get`, by the functions of the server's C API below it, which takes a quarter of the time. The found tuple is valid
-- until the next call of that API, so its value is copied at once.
local function stored(interests, key)
    local length = #key
    if length > LONGEST_KEY then
        return nil
    end
    key_buffer[0], key_buffer[1], key_buffer[2] = 0x91, 0xd9, length
    ffi.copy(key_buffer + 3, key, length)
    local bytes = ffi.cast(chars, key_buffer)
    if ffi.C.box_index_get(interests.id, 0, bytes, bytes + 3 + length, found) ~= 0 then
        box.error()
    end
    if found[0] == nil then
        return nil
    end
    local value = ffi.cast(unsigned_chars, ffi.C.box_tuple_field(found[0], 1))
    local kind = value[0]
    if kind >= 0xa0 and kind <= 0xbf then
        return ffi.string(value + 1, kind - 0xa0)
    elseif kind == 0xd9 or kind == 0xc4 then
        return ffi.string(value + 2, value[1])
    elseif kind == 0xda or kind == 0xc5 then
        return ffi.string(value + 3, value[1] * 0x100 + value[2])
    elseif kind == 0xdb or kind == 0xc6 then
        return ffi.string(value + 5, ((value[1] * 0x100 + value[2]) * 0x100 + value[3]) * 0x100 + value[4])
    end
    return false
end

-- The value of a key. The newest committed import that has it counts, even if its rows are not moved yet. Nothing here
-- yields, so a reader never sees half of an import.
local function look_up(interests, key)
    local staged = space('_staged')
    for _, import in space('_live'):pairs({}, {iterator = 'REQ'}) do
        local row = staged:get({import[2], key})
        if row ~= nil then
            -- Nil if the import deletes the key.
            return row[3]
        end
    end
    return stored(interests, key)
end

-- The function that reads the values of one call.
local function reader()
    return space('_live'):len() > 0 and look_up or stored
end

-- The values of the keys, in their order; null where there is none. Null in place of all of them if they are too large.
function M.get_many(keys)
    local interests, read = space('_interests'), reader()
    local values = setmetatable({}, seq)
    local bytes = 0
    for i, key in ipairs(keys) do
        local value = read(interests, key)
        if value == nil then
            value = box.NULL
        elseif type(value) == 'string' then
            bytes = bytes + #value
            if bytes > ANSWER_LIMIT then
                return box.NULL
            end
        end
        values[i] = value
    end
    return values
end

-- The bytes of the keys' values, in their order: 0 where there is none, null where it is not a string.
function M.sizes(keys)
    local interests, read = space('_interests'), reader()
    local sizes = setmetatable({}, seq)
    for i, key in ipairs(keys) do
        local value = read(interests, key)
        if value == nil then
            sizes[i] = 0
        elseif type(value) == 'string' then
            sizes[i] = #value
        else
            sizes[i] = box.NULL
        end
    end
    return sizes
end

-- The cached value of a key, or null.
function M.cache_get(key)
    local row = space('_cache'):get(key)
    if row == nil or row[3] <= clock.monotonic() then
        return box.NULL
    end
    return row[2]
end

-- Caches a value for so many milliseconds.
function M.cache_put(key, value, ttl)
    space('_cache'):replace({key, value, clock.monotonic() + ttl / 1000})
    return true
end

-- Adds rows to an import that no reader sees yet: each a key and a value, or a key alone to delete it.
function M.import_stage(import, rows)
    local started = staging[import]
    if started == nil then
        started = {rows = 0}
        -- Before the write, which waits for the log: rows of an unknown import are forgotten.
        staging[import] = started
    end
    started.last = clock.monotonic()
    local staged = space('_staged')
    box.atomic(function()
        for _, row in ipairs(rows) do
            staged:replace({import, row[1], row[2]})
        end
    end)
    if staging[import] ~= started then
        error('the import was cancelled')
    end
    started.rows = started.rows + #rows
    started.last = clock.monotonic()
    return true
end

-- The staged rows of an import. Others have their turn meanwhile.
local function count_staged(import)
    local count = 0
    for _ in space('_staged'):pairs({import}) do
        count = count + 1
        if count % COUNTED_PIECE == 0 then
            fiber.yield()
        end
    end
    return count
end

-- Shows an import of so many rows, all with different keys, to all readers at once.
function M.import_commit(import, rows)
    local started = staging[import] or {rows = 0}
    if started.rows ~= rows or count_staged(import) ~= rows or (rows > 0 and staging[import] ~= started) then
        error('the import is not complete')
    end
    local live = space('_live')
    local last = live.index.primary:max()
    live:insert({last == nil and 1 or last[1] + 1, import})
    staging[import] = nil
    wake:broadcast()
    return true
end

-- Forgets an import that is not committed.
function M.import_cancel(import)
    staging[import] = nil
    return true
end

local function starts_with(text, prefix)
    return text:sub(1, #prefix) == prefix
end

-- The first keys that start with a prefix and come after another key, in their order; at most `limit`. They may be deleted.
local function keys_after(prefix, after, limit)
    local iterator, from = 'GT', after
    if after < prefix then
        iterator, from = 'GE', prefix
    end
    local keys, known = {}, {}
    local function add(rows, field)
        for _, row in ipairs(rows) do
            local key = row[field]
            if starts_with(key, prefix) and not known[key] then
                known[key] = true
                table.insert(keys, key)
            end
        end
    end
    local first = {iterator = iterator, limit = limit}
    add(space('_interests'):select({from}, first), 1)
    for _, import in space('_live'):pairs() do
        local rows = space('_staged'):select({import[2], from}, first)
        for i, row in ipairs(rows) do
            if row[1] ~= import[2] then
                rows[i] = nil
            end
        end
        add(rows, 2)
    end
    table.sort(keys)
    for i = #keys, limit + 1, -1 do
        keys[i] = nil
    end
    return keys
end

-- The first rows whose keys start with a prefix and come after another key, in the order of their keys: each a key and a
-- value. No rows at the end.
function M.page(prefix, after, limit)
    local interests = space('_interests')
    local rows = setmetatable({}, seq)
    local bytes = 0
    repeat
        local keys = keys_after(prefix, after, limit)
        for _, key in ipairs(keys) do
            local value = look_up(interests, key)
            if value ~= nil then
                bytes = bytes + #key + (type(value) == 'string' and #value or 0)
                if #rows > 0 and bytes > PAGE_LIMIT then
                    return rows
                end
                table.insert(rows, {key, value})
            end
            after = key
        end
        -- There may be many deleted keys in a row.
        fiber.yield()
    until #rows > 0 or #keys == 0
    return rows
end

-- Moves a piece of the oldest committed import to the interests. Returns whether there was one.
local function move_piece()
    local import = space('_live').index.primary:min()
    if import == nil then
        return false
    end
    local staged, interests = space('_staged'), space('_interests')
    local rows = staged:select({import[2]}, {limit = PIECE})
    box.atomic(function()
        for _, row in ipairs(rows) do
            if row[3] == nil then
                interests:delete(row[2])
            else
                interests:replace({row[2], row[3]})
            end
            staged:delete({row[1], row[2]})
        end
        if #rows < PIECE then
            space('_live'):delete(import[1])
        end
    end)
    return true
end

-- Deletes a piece of an import that will never be committed. Returns whether there was one.
local function forget_piece()
    local now = clock.monotonic()
    for import, started in pairs(staging) do
        if started.last < now - FORGOTTEN_AFTER then
            staging[import] = nil
        end
    end
    local known = {}
    for _, import in space('_live'):pairs() do
        known[import[2]] = true
    end
    local staged = space('_staged')
    local row = staged.index.primary:min()
    while row ~= nil do
        local import = row[1]
        if not known[import] and staging[import] == nil then
            local rows = staged:select({import}, {limit = PIECE})
            box.atomic(function()
                for _, found in ipairs(rows) do
                    staged:delete({found[1], found[2]})
                end
            end)
            return true
        end
        row = staged:select({import}, {iterator = 'GT', limit = 1})[1]
    end
    return false
end

local function expire_piece()
    local cache = space('_cache')
    local now = clock.monotonic()
    local rows = cache.index.expires:select({now}, {iterator = 'LE', limit = EXPIRED_PIECE})
    for _, row in ipairs(rows) do
        cache:delete(row[1])
    end
    return #rows == EXPIRED_PIECE
end

-- Runs `piece` again and again while it has something to do, and else once a second.
local function loop(fiber_name, needs_log, piece)
    local own = fiber.create(function()
        fiber.self():name(name .. '_' .. fiber_name, {truncate = true})
        while true do
            local is_done, more = true, false
            -- A replica gets the spaces from its primary.
            if space('_cache') ~= nil and not (needs_log and box.info.ro) then
                is_done, more = pcall(piece)
                if not is_done then
                    log.error('%s: %s failed: %s', name, fiber_name, more)
                end
            end
            if is_done and more then
                fiber.sleep(0)
            else
                wake:wait(1)
            end
            fiber.testcancel()
        end
    end)
    table.insert(fibers, own)
end

function M.stop()
    for _, own in ipairs(fibers) do
        pcall(own.cancel, own)
    end
end

-- A replica gets the spaces, functions and users from its primary.
if not box.info.ro then
    set_up()
end
rawset(_G, name, M)
loop('move', true, move_piece)
loop('forget', true, forget_piece)
loop('expire', false, expire_piece)

return M
