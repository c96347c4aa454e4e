-- Takes a value unless a newer one of ours is known. KEYS: value, mark.
-- ARGV: generation, epoch, sequence, the value, its mark, time to live in ms, 'offer' or 'fill'.
local head = redis.pcall('GETRANGE', KEYS[1], 0, 255)
if type(head) == 'table' then head = 'not text' end
if head ~= '' then
  local is_ours = string.sub(head, 1, 15) == '{"generation":"'
  if not is_ours and ARGV[7] == 'fill' then return 0 end
  -- What another program wrote has no mark; ours is kept beside it.
  local mark = is_ours and head or redis.call('GET', KEYS[2]) or ''
  local generation, epoch, seq = string.match(mark, '^{"generation":"([^"]*)","id":"([^"]*)%-(%d+)"')
  if generation == ARGV[1] and epoch == ARGV[2] and tonumber(seq) >= tonumber(ARGV[3]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[6])
redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6])
return 1
