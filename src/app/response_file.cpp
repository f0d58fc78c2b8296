#include "app/response_file.h"

#include "app/chat.h"
#include "base/log.h"

namespace pippin::app {

std::unique_ptr<service::ResponseStore> response_store(const Settings& settings,
                                                       const Environment& environment) {
  if (settings.responses_path == "off") return nullptr;
  service::ResponseStoreOptions options;
  options.path = settings.responses_path;
  if (options.path.empty())
    options.path = history_file(environment).replace_filename("responses.db").string();
  options.responses_max = settings.responses_max;
  options.bytes_max = settings.responses_bytes;
  auto store = std::make_unique<service::ResponseStore>(std::move(options));
  if (const Result<void> open = store->open(); !open.ok())
    log::warn("[responses] answers are not kept: {}", open.error().message);
  return store;
}

std::unique_ptr<service::BatchStore> batch_store(const Settings& settings,
                                                 const Environment& environment) {
  if (settings.batches_path == "off") return nullptr;
  service::BatchStoreOptions options;
  options.path = settings.batches_path;
  if (options.path.empty())
    options.path = history_file(environment).replace_filename("batches.db").string();
  return std::make_unique<service::BatchStore>(std::move(options));
}

}  // namespace pippin::app
