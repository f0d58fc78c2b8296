// download: one file from a server to its place, by parallel ranges. Bytes reach the partial file
// strictly in order, so that it is always a prefix of the file: after a kill, its length is all
// that is needed to resume, also for older versions of huggingface_hub. Internal to hub.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>

#include "base/result.h"
#include "hub/hasher.h"
#include "hub/session.h"

namespace pippin::hub {

/// Where a file comes from: an address that may redirect to one that expires. Remembers where it
/// led, so that not each range asks anew. Thread: any.
class Link {
 public:
  Link(std::string url, std::string bearer) : url_(std::move(url)), bearer_(std::move(bearer)) {}

  /// Returns a request for it: of the place it led to, if known.
  HttpRequest request() const;
  void led_to(const std::string& url);
  /// Forgets where it led, if that is `url`. Returns false when `url` is the address itself.
  bool forget(const std::string& url);

 private:
  const std::string url_, bearer_;
  mutable std::mutex mutex_;
  std::string led_to_;
  bool led_home_ = false;  // led_to_ is of the same origin: the bearer may go there
};

/// A file as its server describes it.
struct Remote {
  std::string item;  // how progress and messages call it
  std::string url;
  std::string bearer;
  uint64_t bytes = 0;
  HashKind kind = HashKind::kNone;
  std::string hex;  // the digest it must have; empty for kNone
  /// Says what a refusal (401, 403, 404, ...) means.
  std::function<Error(const HttpResponse&)> refusal;
};

/// Where it goes: `path` by way of "`path`.incomplete", under the lock.
struct Destination {
  std::filesystem::path path, lock;
  std::filesystem::path partial() const { return path.string() + ".incomplete"; }
};

/// Fetches what is not there yet. Errors: those of pull().
Result<void> download(Session& session, const Remote& remote, const Destination& destination);

/// Returns the first bytes of a file, `bytes` or all of it. Errors: of pull().
Result<std::string> fetch_head(Session& session, const Remote& remote, uint64_t bytes);

}  // namespace pippin::hub
