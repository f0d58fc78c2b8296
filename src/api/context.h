// Context: what every route borrows. Made by main, outlives the server. Thread: any.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/worker_pool.h"
#include "service/chat/live_requests.h"
#include "service/json.h"
#include "service/ongoing.h"
#include "service/readiness.h"

namespace pippin {
class Alarm;
namespace service {
class Authenticator;
class BatchStore;
class ModelPool;
class ResponseStore;
}  // namespace service
}  // namespace pippin

namespace pippin::api {

class ModelStore;

struct Context {
  service::ModelPool& models;
  service::Readiness& readiness;
  WorkerPool& workers;  // computes the answers
  service::JsonLimits json = {};
  size_t stream_pause_bytes =
      256 << 10;  // unsent bytes of one stream above which its generation is not read
  service::ResponseStore* responses = nullptr;  // where responses are kept; null: nowhere
  service::BatchStore* batches = nullptr;       // where batches are kept; null: there are none
  Alarm* alarm = nullptr;                       // for what is tried again later; null: it is not
  bool strict_model_ids = false;      // else Anthropic's own names are the default model's
  std::string signing_key = {};       // of what goes to clients and comes back; empty: a random one
  std::string data_folder = {};       // where made models and uploaded files lie; empty: nowhere
  ModelStore* model_store = nullptr;  // models on disk; null: none are fetched or removed
  service::Authenticator* keeper = nullptr;  // knows the keys; null: none are asked for
  std::shared_ptr<service::LiveRequests> live = std::make_shared<service::LiveRequests>();
  std::shared_ptr<service::Ongoing> background =
      std::make_shared<service::Ongoing>();  // responses that nobody may be listening to
};

}  // namespace pippin::api
