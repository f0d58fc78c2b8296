// answer_message: what POST /v1/messages does, for a client or for a batch. Thread: the worker
// pool.
#pragma once

#include <cstdint>
#include <memory>

#include "api/anthropic/signer.h"
#include "api/context.h"
#include "api/exchange.h"

namespace pippin::api::anthropic {

enum class Origin : uint8_t {
  kClient,
  kBatch,  // waits behind all others, and is not streamed
};

void answer_message(const Context& context, const std::shared_ptr<const Signer>& seal,
                    std::shared_ptr<Exchange> exchange, Origin origin);

}  // namespace pippin::api::anthropic
