-- Adds what a process has let through to what all of them have, and says what is owed now. KEYS: one for each spender. ARGV: for each what it
-- took, in microseconds. A key holds the instant until which all is paid for, by the clock of this server, and ends with it.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local owed = {}
for at = 1, #KEYS do
  local until_then = redis.pcall('GET', KEYS[at])
  until_then = type(until_then) == 'string' and tonumber(until_then) or 0
  if not (until_then > now) then until_then = now end
  until_then = until_then + tonumber(ARGV[at])
  owed[at] = until_then - now
  redis.call('SET', KEYS[at], string.format('%.0f', until_then), 'PX', math.ceil(owed[at] / 1000) + 1)
end
return owed
