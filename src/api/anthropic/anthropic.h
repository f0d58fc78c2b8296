// The Anthropic API: its routes. One file each. Handlers run on the worker pool.
#pragma once

#include <cstdint>
#include <memory>

#include "api/anthropic/batch_runner.h"
#include "api/anthropic/signer.h"
#include "api/context.h"
#include "api/exchange.h"

namespace pippin::api::anthropic {

enum class Origin : uint8_t {
  kClient,
  kBatch,  // waits behind all others, and is not streamed
};

/// POST /v1/messages, for clients or for batches
Handler messages(const Context& context, std::shared_ptr<const Signer> signer,
                 Origin origin = Origin::kClient);
/// POST /v1/messages/count_tokens
Handler count_tokens(const Context& context, std::shared_ptr<const Signer> signer);

/// GET /v1/models and GET /v1/models/{id...}, in this API's form where the request has an
/// `anthropic-version` header, else as `other` answers.
Handler list_models(const Context& context, Handler other);
Handler get_model(const Context& context, Handler other);

/// POST and GET /v1/messages/batches; GET and DELETE /v1/messages/batches/{id}; POST
/// /v1/messages/batches/{id}/cancel; GET /v1/messages/batches/{id}/results. A null runner says that
/// there is no store.
Handler create_batch(const Context& context, std::shared_ptr<BatchRunner> runner);
Handler list_batches(const Context& context, std::shared_ptr<BatchRunner> runner);
Handler get_batch(const Context& context, std::shared_ptr<BatchRunner> runner);
Handler delete_batch(const Context& context, std::shared_ptr<BatchRunner> runner);
Handler cancel_batch(const Context& context, std::shared_ptr<BatchRunner> runner);
Handler batch_results(const Context& context, std::shared_ptr<BatchRunner> runner);

}  // namespace pippin::api::anthropic
