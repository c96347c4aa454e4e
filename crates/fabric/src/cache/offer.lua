-- Takes values unless a newer one of ours is known, and says of each whether it did. KEYS: value, mark, value, mark, …
-- ARGV: generation, 'offer' or 'fill'; then for each its epoch, sequence, the value, its mark, time to live in ms.
local taken = {}
for at = 1, #KEYS / 2 do
  local key, key_of_mark, first = KEYS[2 * at - 1], KEYS[2 * at], 5 * at - 2
  local is_wanted = true
  local head = redis.pcall('GETRANGE', key, 0, 255)
  if type(head) == 'table' then head = 'not text' end
  if head ~= '' then
    local is_ours = string.sub(head, 1, 15) == '{"generation":"'
    if not is_ours and ARGV[2] == 'fill' then is_wanted = false end
    -- What another program wrote has no mark; ours is kept beside it.
    local mark = is_ours and head or redis.call('GET', key_of_mark) or ''
    local generation, epoch, seq = string.match(mark, '^{"generation":"([^"]*)","id":"([^"]*)%-(%d+)"')
    if generation == ARGV[1] and epoch == ARGV[first] and tonumber(seq) >= tonumber(ARGV[first + 1]) then is_wanted = false end
  end
  if is_wanted then
    redis.call('SET', key, ARGV[first + 2], 'PX', ARGV[first + 4])
    redis.call('SET', key_of_mark, ARGV[first + 3], 'PX', ARGV[first + 4])
  end
  taken[at] = is_wanted and 1 or 0
end
return taken
