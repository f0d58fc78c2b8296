#include "store/conversion.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>

#include "base/files.h"
#include "base/fnv_hash.h"
#include "base/json_read.h"
#include "base/size_text.h"
#include "base/thread_pool.h"
#include "store/quoted.h"
#include "store/unpack.h"

namespace pippin::store {
namespace {

namespace json = boost::json;

constexpr int64_t kChunkElements = int64_t{1} << 20;  // decoded at a time, or one row
constexpr size_t kCopyBytes = size_t{8} << 20;
constexpr size_t kNoteBytesMax = size_t{1} << 20;

std::string hex(const FnvHash& hash) { return fmt::format("{:016x}", hash.value()); }

Result<void> write_at(int fd, std::span<const std::byte> bytes, uint64_t at,
                      const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return file_error(written < 0 ? errno : ENOSPC, "write", path);
    bytes = bytes.subspan(static_cast<size_t>(written));
    at += static_cast<uint64_t>(written);
  }
  return {};
}

Result<void> sync_path(const std::string& path, int flags) {
  const Fd fd(open(path.c_str(), flags | O_CLOEXEC));
  if (fd.get() < 0 || fsync(fd.get()) != 0) return file_error(errno, "sync", path);
  return {};
}

bool exists(const std::string& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0;
}

std::string folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

class Writer {
 public:
  Writer(const Conversion& conversion, const ConversionOptions& options)
      : plan_(conversion), options_(options), pool_(options.threads) {
    std::error_code error;  // left to the first call that uses the path
    std::filesystem::path out =
        (std::filesystem::current_path(error) / options.out).lexically_normal();
    if (!out.has_filename()) out = out.parent_path();  // a slash at the end
    out_ = out.string();
    partial_ = out_ + ".partial";
    note_ = partial_ + ".json";
  }

  Result<ConversionReport> run() {
    if (options_.out.empty() || out_ == "/") return bad_out("expected a path");
    if (exists(out_)) return bad_out(fmt::format("{} exists; nothing is overwritten", out_));
    ASSIGN_OR_RETURN(sources_hash_, sources_hash(plan_.sources));
    RETURN_IF_ERROR(make_folders(plan_.is_folder ? partial_ : folder_of(out_)));
    RETURN_IF_ERROR(open_files());
    RETURN_IF_ERROR(find_finished());
    RETURN_IF_ERROR(check_space());
    RETURN_IF_ERROR(begin_files());
    for (size_t i = 0; i < plan_.tensors.size(); ++i) {
      const ConvertedTensor& tensor = plan_.tensors[i];
      if (i >= report_.resumed_tensors) {
        RETURN_IF_ERROR(write_tensor(tensor));
        unnoted_ += tensor.bytes.sum();
      }
      done_ += tensor.bytes.sum();
      if (unnoted_ >= options_.note_every_bytes) RETURN_IF_ERROR(note(i + 1));
      RETURN_IF_ERROR(tell(tensor.name, 0));
    }
    RETURN_IF_ERROR(finish());
    return report_;
  }

 private:
  Error bad_out(std::string_view what) const {
    return fail(Code::kInvalidArgument, fmt::format("--out: {}", what), "--out");
  }
  std::string path_of(const ConvertedFile& file) const {
    return plan_.is_folder ? partial_ + "/" + file.name : partial_;
  }

  // A link in the place of a file is not followed; two runs do not write the same.
  Result<void> open_files() {
    for (const ConvertedFile& file : plan_.files) {
      const std::string path = path_of(file);
      Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
      if (fd.get() < 0) return file_error(errno, "write", path);
      struct stat status {};
      if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode))
        return bad_out(fmt::format("{} is no regular file", path));
      if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
        return bad_out(fmt::format("another run writes {}", path));
      held_bytes_ += std::min<uint64_t>(static_cast<uint64_t>(status.st_blocks) * 512, file.bytes);
      files_.push_back(std::move(fd));
    }
    return {};
  }

  // What must be the same for an earlier run's tensors to count.
  std::string identity() const {
    FnvHash hash;
    for (const ConvertedFile& file : plan_.files) hash.add(file.head);
    return fmt::format("{} {} {}", plan_.format, sources_hash_, hex(hash));
  }

  Result<void> find_finished() {
    if (!exists(note_)) return {};
    const Result<std::string> text = read_file(note_, kNoteBytesMax);
    const Result<json::object> found =
        text.ok() ? parse_object(*text, note_) : Result<json::object>(text.error());
    if (!found.ok()) {
      report_.anew = fmt::format("{} cannot be read", note_);
      return {};
    }
    const std::optional<uint64_t> finished = size_in(*found, "finished");
    if (string_in(*found, "identity") != identity() || !finished ||
        *finished > plan_.tensors.size()) {
      report_.anew = "the source, the format or the version has changed since";
      return {};
    }
    for (size_t i = 0; i < files_.size(); ++i) {
      struct stat status {};
      if (fstat(files_[i].get(), &status) != 0 ||
          static_cast<uint64_t>(status.st_size) != plan_.files[i].bytes) {
        report_.anew = fmt::format("{} is not as it was left", path_of(plan_.files[i]));
        return {};
      }
    }
    report_.resumed_tensors = *finished;
    return {};
  }

  Result<void> check_space() const {
    const uint64_t held = report_.resumed_tensors > 0 ? held_bytes_ : 0, all = plan_.bytes();
    const uint64_t needed = all - std::min(all, held),
                   free = free_bytes(partial_) + (report_.resumed_tensors > 0 ? 0 : held_bytes_);
    if (needed <= free) return {};
    return fail(
        Code::kTooLarge,
        fmt::format("{} needs {}, but its disk has {} left", out_,
                    size_text(static_cast<double>(needed)), size_text(static_cast<double>(free))),
        "--out");
  }

  Result<void> begin_files() {
    for (size_t i = 0; i < files_.size(); ++i) {
      const ConvertedFile& file = plan_.files[i];
      if (report_.resumed_tensors > 0) continue;
      const int fd = files_[i].get();
      if (ftruncate(fd, 0) != 0 || ftruncate(fd, static_cast<off_t>(file.bytes)) != 0)
        return file_error(errno, "write", path_of(file));
      RETURN_IF_ERROR(write_at(fd, std::as_bytes(std::span(file.head)), 0, path_of(file)));
    }
    return report_.resumed_tensors > 0 ? Result<void>() : note(0);
  }

  Result<void> sync_files() {
    for (size_t i = 0; i < files_.size(); ++i)
      if (fsync(files_[i].get()) != 0) return file_error(errno, "sync", path_of(plan_.files[i]));
    return {};
  }

  Result<void> note(size_t finished) {
    if (finished > 0) RETURN_IF_ERROR(sync_files());
    json::object object;
    object["identity"] = identity();
    object["finished"] = finished;
    unnoted_ = 0;
    return write_file(note_, json::serialize(object));
  }

  Result<void> tell(const std::string& name, uint64_t within) const {
    if (!options_.progress || options_.progress(done_ + within, plan_.bytes(), name)) return {};
    return fail(Code::kCancelled, "interrupted; the same command goes on where it was left");
  }

  Result<void> write_tensor(const ConvertedTensor& tensor) {
    return tensor.copied ? copy(tensor) : encode_parts(tensor);
  }

  Result<void> copy(const ConvertedTensor& tensor) {
    std::array<uint64_t, 3> at = tensor.at;
    for (const TensorView& part : tensor.parts) {
      const std::span<const std::byte> each[] = {part.bytes, part.mlx.scales, part.mlx.biases};
      for (size_t i = 0; i < 3; ++i) {
        for (size_t from = 0; from < each[i].size(); from += kCopyBytes) {
          const auto piece = each[i].subspan(from, std::min(kCopyBytes, each[i].size() - from));
          RETURN_IF_ERROR(put(tensor, piece, at[i]));
          at[i] += piece.size();
        }
      }
    }
    return {};
  }

  Result<void> put(const ConvertedTensor& tensor, std::span<const std::byte> bytes, uint64_t at) {
    return write_at(files_[tensor.file].get(), bytes, at, path_of(plan_.files[tensor.file]));
  }

  Result<void> encode_parts(const ConvertedTensor& tensor) {
    std::array<uint64_t, 3> at = tensor.at;
    uint64_t within = 0;
    for (const TensorView& part : tensor.parts) {
      TensorView matrix = unpack(part);
      const int64_t columns = part.shape.back(), rows = part.elements() / columns;
      matrix.shape = {rows, columns};
      const int64_t step = std::max<int64_t>(1, kChunkElements / columns);
      for (int64_t row = 0; row < rows; row += step) {
        RETURN_IF_ERROR(encode_rows(tensor, matrix, row, std::min(step, rows - row), at));
        within = at[0] - tensor.at[0];
        RETURN_IF_ERROR(tell(tensor.name, within));
      }
    }
    return {};
  }

  // Reads rows [first, first + count) of the new tensor.
  static void read_rows(const ConvertedTensor& tensor, const TensorView& matrix, int64_t first,
                        int64_t count, std::span<float> values) {
    if (tensor.order.empty()) return dequantize(matrix.slice(first, count), values);
    const auto columns = static_cast<size_t>(matrix.shape[1]);
    for (size_t i = 0; i < static_cast<size_t>(count); ++i)
      dequantize(matrix.slice(tensor.order[static_cast<size_t>(first) + i], 1),
                 values.subspan(i * columns, columns));
  }

  // Encodes rows [from, from + count), which are shared out among the threads.
  Result<void> encode_rows(const ConvertedTensor& tensor, const TensorView& matrix, int64_t from,
                           int64_t count, std::array<uint64_t, 3>& at) {
    const int64_t columns = matrix.shape[1], elements = count * columns;
    const int64_t each = std::max<int64_t>(1, count / (int64_t{options_.threads} * 4));
    const auto tasks = static_cast<int>((count + each - 1) / each);
    const EncodedBytes all = encoded_bytes(tensor.encoding, static_cast<uint64_t>(elements));
    values_.resize(static_cast<size_t>(elements));
    encoded_.resize(all.sum());
    const std::span<std::byte> out(encoded_);
    const EncodedSpans spans{out.subspan(0, all.values), out.subspan(all.values, all.scales),
                             out.subspan(all.values + all.scales)};
    std::vector<uint8_t> fits(static_cast<size_t>(tasks), 1);
    pool_.run(tasks, [&](int task, int) {
      const int64_t first = task * each, own = std::min(each, count - first);
      const auto cut = [&](std::span<std::byte> part) {
        const size_t row = part.size() / static_cast<size_t>(count);
        return part.subspan(static_cast<size_t>(first) * row, static_cast<size_t>(own) * row);
      };
      const std::span<float> values = std::span(values_).subspan(
          static_cast<size_t>(first * columns), static_cast<size_t>(own * columns));
      read_rows(tensor, matrix, from + first, own, values);
      if (!all_fit(tensor.encoding, values)) {
        fits[static_cast<size_t>(task)] = 0;
        return;
      }
      encode(tensor.encoding, values, {cut(spans.values), cut(spans.scales), cut(spans.biases)});
    });
    if (std::ranges::count(fits, 0) > 0)
      return fail(Code::kInvalidFile,
                  fmt::format("tensor {} has values that are not finite or beyond what {} holds",
                              store::quoted(tensor.name), tensor.to),
                  tensor.name);
    const std::span<std::byte> parts[] = {spans.values, spans.scales, spans.biases};
    for (size_t i = 0; i < 3; ++i) {
      RETURN_IF_ERROR(put(tensor, parts[i], at[i]));
      at[i] += parts[i].size();
    }
    return {};
  }

  static bool all_fit(const Encoding& encoding, std::span<const float> values) {
    const bool wide = encoding.type == TensorType::kF32 || encoding.type == TensorType::kBF16 ||
                      encoding.type == TensorType::kMXFP4 ||
                      (encoding.group > 0 && encoding.scale_type != TensorType::kF16);
    const float most = wide ? std::numeric_limits<float>::max() : kHalfMax;
    return std::ranges::all_of(values, [most](float v) { return std::abs(v) <= most; });
  }

  std::string manifest_text() const {
    json::object object;
    object["made_by"] = "pippin " + options_.version;
    object["format"] = plan_.format;
    object["source_hash"] = sources_hash_;
    json::array sources, tensors;
    for (const std::string& source : plan_.sources) sources.emplace_back(source);
    for (const ConvertedTensor& tensor : plan_.tensors)
      tensors.push_back(json::object{{"name", tensor.name},
                                     {"from", tensor.from},
                                     {"to", tensor.to},
                                     {"bytes", tensor.bytes.sum()}});
    object["sources"] = std::move(sources);
    object["bytes"] = plan_.bytes();
    object["tensors"] = std::move(tensors);
    return json::serialize(object) + "\n";
  }

  Result<void> finish() {
    RETURN_IF_ERROR(sync_files());
    for (const auto& [name, text] : plan_.texts)
      RETURN_IF_ERROR(write_file(partial_ + "/" + name, text));
    for (const auto& [name, source] : plan_.copies) {
      ASSIGN_OR_RETURN(const std::string text, read_file(source, size_t{1} << 30));
      RETURN_IF_ERROR(write_file(partial_ + "/" + name, text));
    }
    const std::string manifest_name = "pippin-manifest.json";
    report_.manifest = plan_.is_folder ? out_ + "/" + manifest_name : out_ + ".manifest.json";
    RETURN_IF_ERROR(write_file(plan_.is_folder ? partial_ + "/" + manifest_name : report_.manifest,
                               manifest_text()));
    if (plan_.is_folder) RETURN_IF_ERROR(sync_path(partial_, O_RDONLY | O_DIRECTORY));
    if (exists(out_)) return bad_out(fmt::format("{} was made by another program meanwhile", out_));
    if (std::rename(partial_.c_str(), out_.c_str()) != 0) return file_error(errno, "write", out_);
    unlink(note_.c_str());
    return sync_path(folder_of(out_), O_RDONLY | O_DIRECTORY);
  }

  const Conversion& plan_;
  const ConversionOptions& options_;
  ThreadPool pool_;
  std::string out_, partial_, note_, sources_hash_;
  std::vector<Fd> files_;
  uint64_t held_bytes_ = 0, done_ = 0, unnoted_ = 0;
  std::vector<float> values_;
  std::vector<std::byte> encoded_;
  ConversionReport report_;
};

}  // namespace

uint64_t Conversion::bytes() const {
  uint64_t sum = 0;
  for (const ConvertedFile& file : files) sum += file.bytes;
  return sum;
}

uint64_t Conversion::elements() const {
  uint64_t sum = 0;
  for (const ConvertedTensor& tensor : tensors)
    for (const TensorView& part : tensor.parts) sum += static_cast<uint64_t>(part.elements());
  return sum;
}

Result<std::string> sources_hash(const std::vector<std::string>& sources) {
  FnvHash hash;
  for (const std::string& path : sources) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return file_error(errno, "read", path);
#ifdef __APPLE__
    const timespec& time = status.st_mtimespec;
#else
    const timespec& time = status.st_mtim;
#endif
    hash.add(fmt::format("{} {} {}.{}\n", path, status.st_size, time.tv_sec, time.tv_nsec));
  }
  return hex(hash);
}

Result<ConversionReport> write_conversion(const Conversion& conversion,
                                          const ConversionOptions& options) {
  return Writer(conversion, options).run();
}

}  // namespace pippin::store
