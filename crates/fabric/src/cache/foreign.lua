-- Lists what other programs wrote, as index, value and mark. KEYS: value, mark, value, mark, … ARGV: the longest value.
local found = {}
for at = 1, #KEYS, 2 do
  local head = redis.pcall('GETRANGE', KEYS[at], 0, 14)
  if type(head) == 'string' and head ~= '' and head ~= '{"generation":"' and redis.call('STRLEN', KEYS[at]) <= tonumber(ARGV[1]) then
    found[#found + 1] = { (at - 1) / 2, redis.call('GET', KEYS[at]), redis.call('GET', KEYS[at + 1]) or '' }
  end
end
return found
