"""The scripts that Redis executes: each changes all that it is about, or nothing.

Records come in parts of :data:`PART`: sizes of keys and records, the keys, the records, each
joined, because an argument for each would cost the worker eight times as much, and Redis nearly
twice as much. Keys enter the order when they are new, of which the number of new fields tells: in
most commits none is. What has not changed is not written: Redis appends every write to its file.
"""

PART = 1000  # records that are written at once; Lua's stack has 8,000 places

# Deletes streams and writes records: the arguments from ``at`` on, the deleted ones first.
_APPLY = """
local function apply(streams, order, at, deleted)
    for first = at, at + deleted - 1, 1000 do
        local last = math.min(first + 999, at + deleted - 1)
        redis.call('HDEL', streams, unpack(ARGV, first, last))
        redis.call('ZREM', order, unpack(ARGV, first, last))
    end
    for part = at + deleted, #ARGV, 3 do
        local sizes, keys, records = unpack(ARGV, part, part + 2)
        local key_at, record_at, fields, members = 1, 1, {}, {}
        for n = 1, #sizes / 8 do
            local key_size, record_size = struct.unpack('<I4I4', sizes, 8 * n - 7)
            local name = keys:sub(key_at, key_at + key_size - 1)
            fields[2 * n - 1], members[2 * n - 1], members[2 * n] = name, 0, name
            fields[2 * n] = records:sub(record_at, record_at + record_size - 1)
            key_at, record_at = key_at + key_size, record_at + record_size
        end
        if redis.call('HSET', streams, unpack(fields)) > 0 then
            redis.call('ZADD', order, unpack(members))
        end
    end
end
"""

# A batch is written only if state and owner are those that the writer expects. That is one round
# trip, and whatever Redis executes late, after the writer has given it up, changes nothing.
WRITE = (
    _APPLY
    + """
local streams, order, owner, header = unpack(KEYS)
local key = ARGV[1]
local state_now = redis.call('HGET', streams, key) or ''
local owner_now = redis.call('GET', owner) or ''
if state_now ~= ARGV[2] or owner_now ~= ARGV[3] then return {0, state_now, owner_now} end
if owner_now == ARGV[5] then
    redis.call('PEXPIRE', owner, ARGV[6])
else
    redis.call('SET', owner, ARGV[5], 'PX', ARGV[6])
end
if redis.call('GET', header) ~= ARGV[7] then redis.call('SET', header, ARGV[7]) end
if state_now ~= ARGV[4] then redis.call('HSET', streams, key, ARGV[4]) end
apply(streams, order, 9, tonumber(ARGV[8]))
return {1, redis.call('HLEN', streams) - 1, redis.call('ZCARD', order)}
"""
)

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"

# --- of a fleet (redis_fleet.py) ---

# Begins every script of a fleet: what the fleet notes must be there, and its own.
_OURS = """
local streams, fleet, members = KEYS[1], KEYS[2], KEYS[3]
local key, prefix = ARGV[1], ARGV[2]
local state = redis.call('HGET', streams, key) or ''
local version = redis.call('HGET', fleet, 'version')
if state:sub(1, #prefix) ~= prefix or not version then return {'state', state} end
"""

# Begins those of its supervisor: nobody else may have taken the fleet since, which the term tells
# where many may, even if that one has gone again.
_LED = (
    _OURS
    + """
local owner, holder = KEYS[4], redis.call('GET', KEYS[4]) or ''
local term = redis.call('HGET', fleet, 'term') or ''
if (holder ~= '' and holder ~= ARGV[3]) or term ~= ARGV[4] then return {'owner', holder} end
"""
)

# The supervisor renews the fleet's lease, and learns the table's version and the number of streams.
RENEW_FLEET = (
    _LED
    + """
local order = KEYS[5]
redis.call('SET', owner, ARGV[3], 'PX', ARGV[5])
return {'done', version, redis.call('HLEN', streams) - 1, redis.call('ZCARD', order)}
"""
)

# Replaces the table if it is of the version before.
WRITE_TABLE = (
    _LED
    + """
if version == ARGV[6] and redis.call('HGET', fleet, 'table') == ARGV[7] then return {'done'} end
if version ~= ARGV[5] then return {'version', version} end
redis.call('HSET', fleet, 'version', ARGV[6], 'table', ARGV[7], 'epochs', ARGV[8])
return {'done'}
"""
)

# Tells which workers are members, names and tokens; also whoever does not lead any more.
MEMBERS = (
    _OURS
    + """
return {'done', redis.call('HGETALL', members)}
"""
)

# Ends a worker that has not renewed its lease, or is known to have ended.
EXPEL = (
    _LED
    + """
local lease = KEYS[5]
if redis.call('HGET', members, ARGV[5]) ~= ARGV[6] then return {'other'} end
if ARGV[7] == '0' and redis.call('EXISTS', lease) == 1 then return {'lives'} end
redis.call('HDEL', members, ARGV[5])
redis.call('DEL', lease)
return {'done'}
"""
)

# Writes again what a fleet notes, where state and owner are as expected. Whether the streams were
# lost, too, the workers learn from the numbers of their commits, which begin again then.
RESTORE = """
local streams, fleet, members, owner = unpack(KEYS)
local key = ARGV[1]
if (redis.call('HGET', streams, key) or '') ~= ARGV[2] then return {'state'} end
if (redis.call('GET', owner) or '') ~= ARGV[3] then return {'owner'} end
if ARGV[2] ~= ARGV[4] then redis.call('DEL', fleet, members) end
redis.call('HSET', streams, key, ARGV[4])
redis.call('SET', owner, ARGV[5], 'PX', ARGV[6])
local last = 7 + tonumber(ARGV[7])
redis.call('HSET', fleet, unpack(ARGV, 8, last))
for at = last + 1, #ARGV, 2 do redis.call('HSET', members, ARGV[at], ARGV[at + 1]) end
return {'done'}
"""

# A machine begins to lead a fleet that goes on while nobody does: same state, next term.
LEAD = """
local streams, fleet, owner, members = unpack(KEYS)
local key, me, lease, leader = unpack(ARGV)
local state, now = redis.call('HGET', streams, key) or '', redis.call('GET', owner) or ''
local of = redis.call('HGET', fleet, 'of')
if now ~= '' then return {'led', now} end
if not of or of == '' or state:sub(1, #of) ~= of then return {'other', state} end
redis.call('SET', owner, me, 'PX', lease)
local term = redis.call('HINCRBY', fleet, 'term', 1)
redis.call('HSET', fleet, 'leader', leader)
local version, table = redis.call('HGET', fleet, 'version'), redis.call('HGET', fleet, 'table')
local epochs = redis.call('HGET', fleet, 'epochs')
return {'done', state, term, version, table, epochs, redis.call('HGETALL', members)}
"""

# A worker becomes a member; whoever had its name before is none any more.
JOIN = (
    _OURS
    + """
local lease, header = KEYS[4], KEYS[5]
local header_now = redis.call('GET', header) or ''
if header_now ~= ARGV[6] then return {'header', header_now} end
if header_now ~= ARGV[7] then redis.call('SET', header, ARGV[7]) end
redis.call('HSET', members, ARGV[3], ARGV[4])
redis.call('HDEL', fleet, 'commits:' .. ARGV[3])
redis.call('SET', lease, ARGV[4], 'PX', ARGV[5])
return {'done', redis.call('HLEN', streams) - 1}
"""
)

# A worker renews its lease.
RENEW_MEMBER = (
    _OURS
    + """
if redis.call('HGET', members, ARGV[3]) ~= ARGV[4] then return {'left'} end
redis.call('SET', KEYS[4], ARGV[4], 'PX', ARGV[5])
return {'done', version}
"""
)

# A worker commits. It must be a member, and have each partition that it writes in the epoch that
# it names; of those that another worker has by now the names are returned, and nothing is written.
# With a commit that has all that came of partitions, this is noted for the supervisor.
COMMIT = (
    _APPLY
    + _OURS
    + """
local lease, header, order, arrived = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
if redis.call('HGET', members, ARGV[3]) ~= ARGV[4] then return {'left'} end
local number = 'commits:' .. ARGV[3]
local commits = redis.call('HGET', fleet, number) or '0'
if commits ~= ARGV[6] then return {'commits', commits} end
local header_now = redis.call('GET', header)
if header_now and header_now ~= ARGV[8] then return {'header', header_now} end
local epochs, wanted, refused = redis.call('HGET', fleet, 'epochs'), ARGV[9], {}
for at = 1, #wanted, 6 do
    local partition, epoch = struct.unpack('<I2I4', wanted, at)
    local now = struct.unpack('<I4', epochs, 4 * partition + 1)
    if now < epoch then return {'behind'} end
    if now > epoch then refused[#refused + 1] = partition end
end
if #refused > 0 then return {'refused', refused} end
redis.call('SET', lease, ARGV[4], 'PX', ARGV[5])
if not header_now then redis.call('SET', header, ARGV[8]) end
if ARGV[7] ~= '0' then redis.call('HINCRBY', fleet, number, ARGV[7]) end
for at = 1, #ARGV[10], 6 do
    local partition, epoch = struct.unpack('<I2I4', ARGV[10], at)
    redis.call('HSET', arrived, partition, epoch)
end
apply(streams, order, 12, tonumber(ARGV[11]))
return {'done', redis.call('HLEN', streams) - 1}
"""
)

# A worker that stops is no member any more.
LEAVE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
"""
