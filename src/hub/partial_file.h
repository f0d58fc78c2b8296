// PartialFile: the file that a download grows, always a prefix of the whole, and its hash so
// far. Internal to hub. Thread: one at a time.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "hub/download.h"
#include "hub/files.h"
#include "hub/hasher.h"

namespace pippin::hub {

class PartialFile {
 public:
  /// Opens what an earlier download has left and hashes it, or begins anew. Requires: the lock is
  /// held. Errors: kUnavailable; kCancelled.
  static Result<PartialFile> open(Session& session, const Remote& remote,
                                  const Destination& destination);

  uint64_t written() const { return written_; }
  /// How much was there at first.
  uint64_t resumed() const { return resumed_; }

  Result<void> append(std::string_view bytes);
  /// Drops everything.
  Result<void> restart();
  /// Checks the hash and gives the file its name. Errors: kInvalidFile, with both hashes; the
  /// partial file is empty then.
  Result<void> commit();

 private:
  PartialFile(Fd fd, const Remote& remote, const Destination& destination)
      : fd_(std::move(fd)),
        remote_(&remote),
        destination_(&destination),
        hasher_(remote.kind, remote.bytes) {}
  Result<void> hash_what_is_there(Session& session);

  Fd fd_;
  const Remote* remote_;
  const Destination* destination_;
  Hasher hasher_;
  uint64_t written_ = 0, resumed_ = 0;
};

}  // namespace pippin::hub
