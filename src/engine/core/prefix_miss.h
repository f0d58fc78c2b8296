// PrefixMiss: what a status page says of a prompt that was not all cached. Thread: any.
#pragma once

#include <cstdint>

namespace pippin::engine {

/// Why the prefix cache did not hold all of a prompt.
enum class PrefixMiss : uint8_t {
  kNone,            // it did, but for the last token, which is always computed
  kOff,             // there is no prefix cache
  kPromptLogprobs,  // the prompt's log probabilities need all of it computed
  kNew,             // nothing begins like it
  kContinues,       // it goes on where what is known ends, as a chat's next turn does
  kDiffers,         // what is known goes on with another token
  kEvicted,         // was known, but its block has been reused
  kOtherSalt,       // known, but to another tenant
  kPooled,          // its embedding may need all of its hidden states
  kNoState,         // known, but no recurrent state was kept where it ends
};

}  // namespace pippin::engine
