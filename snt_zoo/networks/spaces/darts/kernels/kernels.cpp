// CPU kernels of supernet training; see `snt_zoo/networks/spaces/darts/kernels/__init__.py` for what they compute and why.
//
// Images are NHWC (channels_last): a pixel's channels are neighbours in memory, pixels lie `stride` values
// apart. Every kernel works image by image in a scratch buffer that stays in the second-level cache, with
// the channels padded to whole vectors there. Parallel over images; sums are folded into doubles.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
struct Simd {
  typedef T vector __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
  static constexpr int64_t width = kVectorBytes / sizeof(T);
};

template <class T>
using Vector = typename Simd<T>::vector;

template <class T>
inline Vector<T> load(const T* p) {
  return *reinterpret_cast<const Vector<T>*>(p);
}

template <class T>
inline void store(T* p, Vector<T> v) {
  *reinterpret_cast<Vector<T>*>(p) = v;
}

int threads_for(int64_t tasks) {
#ifdef _OPENMP
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(tasks, omp_get_max_threads())));
#else
  return 1;
#endif
}

int this_thread() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Memory of a thread that grows and stays, so that a call touches no fresh page.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t values) {
    const size_t wanted = static_cast<size_t>(values) * sizeof(T) + kSlack;
    if (pool().size < wanted) {
      pool().memory.reset(new char[wanted]);
      pool().size = wanted;
    }
    next_ = pool().memory.get();
  }
  // The next `values` values, aligned to a cache line.
  T* take(int64_t values) {
    const auto address = (reinterpret_cast<uintptr_t>(next_) + 63) & ~static_cast<uintptr_t>(63);
    T* out = reinterpret_cast<T*>(address);
    next_ = reinterpret_cast<char*>(out + values);
    return out;
  }

 private:
  static constexpr size_t kSlack = 64 * 16;
  struct Pool {
    std::unique_ptr<char[]> memory;
    size_t size = 0;
  };
  static Pool& pool() {
    static thread_local Pool pool;
    return pool;
  }
  char* next_;
};

struct Geometry {
  int64_t images, height, width, channels, kernel, stride, dilation;
  int64_t pad() const { return dilation * (kernel - 1) / 2; }
  int64_t out_height() const { return (height - 1) / stride + 1; }
  int64_t out_width() const { return (width - 1) / stride + 1; }
  int64_t padded_height() const { return height + 2 * pad(); }
  int64_t padded_width() const { return width + 2 * pad(); }
  int64_t taps() const { return kernel * kernel; }
};

// relu(scale * x + shift) of one image into the middle of a zeroed, padded buffer.
template <class T>
void fill_padded(const Geometry& g, int64_t cp, const T* x, int64_t x_stride, const T* scale, const T* shift,
                 T* out) {
  const int64_t p = g.pad(), wp = g.padded_width(), c = g.channels;
  std::memset(out, 0, sizeof(T) * p * wp * cp);
  std::memset(out + (p + g.height) * wp * cp, 0, sizeof(T) * p * wp * cp);
  for (int64_t y = 0; y < g.height; ++y) {
    T* row = out + (y + p) * wp * cp;
    std::memset(row, 0, sizeof(T) * p * cp);
    std::memset(row + (p + g.width) * cp, 0, sizeof(T) * p * cp);
    const T* in = x + y * g.width * x_stride;
    T* to = row + p * cp;
    for (int64_t i = 0; i < g.width; ++i, in += x_stride, to += cp) {
      int64_t k = 0;
      for (; k + Simd<T>::width <= c; k += Simd<T>::width) {
        Vector<T> v = load(in + k);
        if (scale) v = v * load(scale + k) + load(shift + k);
        store<T>(to + k, v < T(0) ? Vector<T>{} : v);  // NaN stays NaN
      }
      for (; k < c; ++k) {
        const T v = scale ? in[k] * scale[k] + shift[k] : in[k];
        to[k] = v < T(0) ? T(0) : v;
      }
      for (; k < cp; ++k) to[k] = T(0);
    }
  }
}

// `Tile` neighbouring pixels of a depthwise convolution, one vector of channels.
template <class T, int K, int Tile>
inline void depthwise_tile(const T* in, int64_t row, int64_t tap, int64_t step, const T* weight, int64_t cp,
                           T* out) {
  Vector<T> sum[Tile] = {};
  for (int ky = 0; ky < K; ++ky) {
    for (int kx = 0; kx < K; ++kx) {
      const Vector<T> w = load(weight + (ky * K + kx) * cp);
      const T* at = in + ky * row + kx * tap;
      asm("" : "+r"(at));  // or GCC keeps hundreds of addresses on the stack
      for (int t = 0; t < Tile; ++t) sum[t] += load(at + t * step) * w;
    }
  }
  for (int t = 0; t < Tile; ++t) store<T>(out + t * cp, sum[t]);
}

// Depthwise convolution of a padded image: `(oh, ow, cp)` from `(ph, pw, cp)`; weight `(taps, cp)`.
template <class T, int K>
void depthwise_image(const T* padded, int64_t pw, int64_t cp, int64_t oh, int64_t ow, int64_t stride,
                     int64_t dilation, const T* weight, T* out) {
  constexpr int kTile = 8;
  const int64_t row = dilation * pw * cp, tap = dilation * cp, step = stride * cp;
  for (int64_t y = 0; y < oh; ++y) {
    for (int64_t k = 0; k < cp; k += Simd<T>::width) {
      const T* in = padded + y * stride * pw * cp + k;
      T* to = out + y * ow * cp + k;
      int64_t x = 0;
      for (; x + kTile <= ow; x += kTile)
        depthwise_tile<T, K, kTile>(in + x * step, row, tap, step, weight + k, cp, to + x * cp);
      for (; x < ow; ++x) depthwise_tile<T, K, 1>(in + x * step, row, tap, step, weight + k, cp, to + x * cp);
    }
  }
}

template <class T>
void depthwise(const T* padded, int64_t pw, int64_t cp, int64_t oh, int64_t ow, const Geometry& g,
               int64_t stride, const T* weight, T* out) {
  switch (g.kernel) {
    case 3: return depthwise_image<T, 3>(padded, pw, cp, oh, ow, stride, g.dilation, weight, out);
    case 5: return depthwise_image<T, 5>(padded, pw, cp, oh, ow, stride, g.dilation, weight, out);
    case 7: return depthwise_image<T, 7>(padded, pw, cp, oh, ow, stride, g.dilation, weight, out);
  }
}

// Gradient of the taps' weights, `(taps, cp)` added to, of one image.
template <class T, int K>
void depthwise_weight_image(const T* padded, int64_t pw, int64_t cp, int64_t oh, int64_t ow, int64_t stride,
                            int64_t dilation, const T* grad, T* out) {
  const int64_t step = stride * cp;
  for (int64_t k = 0; k < cp; k += Simd<T>::width) {
    for (int ky = 0; ky < K; ++ky) {
      Vector<T> sum[2][K] = {};
      for (int64_t y = 0; y < oh; ++y) {
        const T* in = padded + (y * stride + ky * dilation) * pw * cp + k;
        const T* g = grad + y * ow * cp + k;
        int64_t x = 0;
        for (; x + 2 <= ow; x += 2) {
          const Vector<T> g0 = load(g + x * cp), g1 = load(g + (x + 1) * cp);
          const T* at = in + x * step;
          for (int kx = 0; kx < K; ++kx, at += dilation * cp) {
            sum[0][kx] += g0 * load(at);
            sum[1][kx] += g1 * load(at + step);
          }
        }
        for (; x < ow; ++x)
          for (int kx = 0; kx < K; ++kx)
            sum[0][kx] += load(g + x * cp) * load(in + x * step + kx * dilation * cp);
      }
      for (int kx = 0; kx < K; ++kx) {
        T* to = out + (ky * K + kx) * cp + k;
        store<T>(to, load(to) + sum[0][kx] + sum[1][kx]);
      }
    }
  }
}

template <class T>
void depthwise_weight(const T* padded, int64_t pw, int64_t cp, int64_t oh, int64_t ow, const Geometry& g,
                      const T* grad, T* out) {
  switch (g.kernel) {
    case 3: return depthwise_weight_image<T, 3>(padded, pw, cp, oh, ow, g.stride, g.dilation, grad, out);
    case 5: return depthwise_weight_image<T, 5>(padded, pw, cp, oh, ow, g.stride, g.dilation, grad, out);
    case 7: return depthwise_weight_image<T, 7>(padded, pw, cp, oh, ow, g.stride, g.dilation, grad, out);
  }
}

// Transposed depthwise convolution of stride above 1, added into a zeroed padded image.
template <class T>
void depthwise_scatter(const T* grad, int64_t cp, const Geometry& g, const T* weight, T* padded) {
  const int64_t pw = g.padded_width();
  for (int64_t y = 0; y < g.out_height(); ++y)
    for (int64_t x = 0; x < g.out_width(); ++x) {
      const T* from = grad + (y * g.out_width() + x) * cp;
      for (int64_t ky = 0; ky < g.kernel; ++ky)
        for (int64_t kx = 0; kx < g.kernel; ++kx) {
          T* to = padded + ((y * g.stride + ky * g.dilation) * pw + x * g.stride + kx * g.dilation) * cp;
          const T* w = weight + (ky * g.kernel + kx) * cp;
          for (int64_t k = 0; k < cp; k += Simd<T>::width)
            store<T>(to + k, load(to + k) + load(from + k) * load(w + k));
        }
    }
}

template <class T, int Rows, int Vectors>
inline void product_tile(const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_step, int64_t depth,
                         T* out, int64_t out_row, bool add) {
  Vector<T> sum[Rows][Vectors] = {};
  for (int64_t i = 0; i < depth; ++i) {
    Vector<T> right[Vectors];
    for (int v = 0; v < Vectors; ++v) right[v] = load(b + i * b_step + v * Simd<T>::width);
    for (int r = 0; r < Rows; ++r) {
      const T left = a[r * a_row + i * a_step];
      for (int v = 0; v < Vectors; ++v) sum[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) {
      T* to = out + r * out_row + v * Simd<T>::width;
      store<T>(to, add ? load(to) + sum[r][v] : sum[r][v]);
    }
}

// out[r, c] (+)= sum over i of a[r * a_row + i * a_step] * b[i * b_step + c], c a whole number of vectors.
template <class T>
void product(const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_step, int64_t rows,
             int64_t depth, int64_t columns, T* out, int64_t out_row, bool add) {
  constexpr int64_t w = Simd<T>::width;
  int64_t c = 0;
  for (; c + 2 * w <= columns; c += 2 * w) {
    int64_t r = 0;
    for (; r + 6 <= rows; r += 6)
      product_tile<T, 6, 2>(a + r * a_row, a_row, a_step, b + c, b_step, depth, out + r * out_row + c,
                            out_row, add);
    for (; r + 2 <= rows; r += 2)
      product_tile<T, 2, 2>(a + r * a_row, a_row, a_step, b + c, b_step, depth, out + r * out_row + c,
                            out_row, add);
    for (; r < rows; ++r)
      product_tile<T, 1, 2>(a + r * a_row, a_row, a_step, b + c, b_step, depth, out + r * out_row + c,
                            out_row, add);
  }
  for (; c < columns; c += w) {
    int64_t r = 0;
    for (; r + 6 <= rows; r += 6)
      product_tile<T, 6, 1>(a + r * a_row, a_row, a_step, b + c, b_step, depth, out + r * out_row + c,
                            out_row, add);
    for (; r < rows; ++r)
      product_tile<T, 1, 1>(a + r * a_row, a_row, a_step, b + c, b_step, depth, out + r * out_row + c,
                            out_row, add);
  }
}

// Sums over `pixels` of values and of their products with `other` (or with themselves), as doubles.
template <class T>
void fold_moments(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t pixels, int64_t channels,
                  double* sum, double* sum_product) {
  constexpr int64_t kChunk = 64;
  for (int64_t first = 0; first < pixels; first += kChunk) {
    const int64_t last = std::min(pixels, first + kChunk);
    int64_t k = 0;
    for (; k + Simd<T>::width <= channels; k += Simd<T>::width) {
      Vector<T> s[2] = {}, q[2] = {};
      int64_t i = first;
      for (; i + 2 <= last; i += 2)
        for (int u = 0; u < 2; ++u) {
          const Vector<T> v = load(a + (i + u) * a_stride + k);
          s[u] += v;
          q[u] += v * load(b + (i + u) * b_stride + k);
        }
      for (; i < last; ++i) {
        const Vector<T> v = load(a + i * a_stride + k);
        s[0] += v;
        q[0] += v * load(b + i * b_stride + k);
      }
      for (int64_t j = 0; j < Simd<T>::width; ++j) {
        sum[k + j] += static_cast<double>(s[0][j]) + static_cast<double>(s[1][j]);
        sum_product[k + j] += static_cast<double>(q[0][j]) + static_cast<double>(q[1][j]);
      }
    }
    for (; k < channels; ++k) {
      T s = 0, q = 0;
      for (int64_t i = first; i < last; ++i) {
        s += a[i * a_stride + k];
        q += a[i * a_stride + k] * b[i * b_stride + k];
      }
      sum[k] += s;
      sum_product[k] += q;
    }
  }
}

// Per-thread rows of doubles, added up in thread order: the same result for the same number of threads.
class Totals {
 public:
  Totals(int threads, int64_t values)
      : values_(values), threads_(threads), memory_(new double[threads * values]()) {}
  double* of(int thread) { return memory_.get() + thread * values_; }
  void write(double* out) const {
    for (int64_t i = 0; i < values_; ++i) {
      double sum = 0;
      for (int t = 0; t < threads_; ++t) sum += memory_[t * values_ + i];
      out[i] = sum;
    }
  }

 private:
  int64_t values_;
  int threads_;
  std::unique_ptr<double[]> memory_;
};

// `(channels, taps)` as PyTorch keeps it to `(taps, cp)`, flipped for the transposed convolution.
template <class T>
void taps_first(const Geometry& g, int64_t cp, const T* weight, bool flip, T* out) {
  for (int64_t t = 0; t < g.taps(); ++t)
    for (int64_t k = 0; k < cp; ++k)
      out[t * cp + k] = k < g.channels ? weight[k * g.taps() + (flip ? g.taps() - 1 - t : t)] : T(0);
}

// `(out, in)` as PyTorch keeps it into a padded square, transposed or as it is.
template <class T>
void padded_square(int64_t c, int64_t cp, const T* weight, bool transpose, T* out) {
  std::memset(out, 0, sizeof(T) * cp * cp);
  for (int64_t o = 0; o < c; ++o)
    for (int64_t i = 0; i < c; ++i) out[transpose ? i * cp + o : o * cp + i] = weight[o * c + i];
}

template <class T>
void block_forward(const Geometry& g, const T* x, int64_t x_stride, const T* scale, const T* shift,
                   const T* depthwise_weights, const T* pointwise_weights, T* z, double* moments) {
  const int64_t c = g.channels, cp = round_up(c, Simd<T>::width);
  const int64_t oh = g.out_height(), ow = g.out_width(), pixels = oh * ow;
  const int threads = threads_for(g.images);
  Totals totals(threads, moments ? 2 * c : 0);
#pragma omp parallel num_threads(threads)
  {
    const int64_t padded_size = g.padded_height() * g.padded_width() * cp;
    Scratch<T> scratch(padded_size + 2 * pixels * cp + g.taps() * cp + cp * cp);
    T* padded = scratch.take(padded_size);
    T* middle = scratch.take(pixels * cp);
    T* rounded = scratch.take(c == cp ? 0 : pixels * cp);
    T* dw = scratch.take(g.taps() * cp);
    T* pw = scratch.take(cp * cp);
    taps_first(g, cp, depthwise_weights, false, dw);
    padded_square(c, cp, pointwise_weights, true, pw);
    double* sums = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t n = 0; n < g.images; ++n) {
      fill_padded(g, cp, x + n * g.height * g.width * x_stride, x_stride, scale, shift, padded);
      depthwise(padded, g.padded_width(), cp, oh, ow, g, g.stride, dw, middle);
      T* image = z + n * pixels * c;
      T* to = c == cp ? image : rounded;
      product(middle, cp, int64_t(1), pw, cp, pixels, cp, cp, to, cp, false);
      if (c != cp)
        for (int64_t i = 0; i < pixels; ++i) std::memcpy(image + i * c, rounded + i * cp, sizeof(T) * c);
      if (moments) fold_moments(image, c, image, c, pixels, c, sums, sums + c);
    }
  }
  if (moments) totals.write(moments);
}

// What `block_backward` reads and writes; null pointers switch parts off.
template <class T>
struct Backward {
  const T* x;        // input of the block, before `scale`, `shift` and ReLU
  int64_t x_stride;
  const T* scale;    // null: the input is used as it is
  const T* shift;
  const T* depthwise;
  const T* pointwise;
  const T* grad;     // dz = from_grad * grad + from_z * z + constant, per channel
  int64_t grad_stride;
  const T* z;
  const T* from_grad;
  const T* from_z;   // null: 0
  const T* constant;
  T* grad_x;         // gradient of the ReLU's input
  int64_t grad_x_stride;
  int64_t accumulate;      // add to grad_x instead of writing it
  double* grad_x_moments;  // null, or sums over pixels of grad_x and of grad_x * (scale * x + shift)
  double* grad_depthwise;  // null: no gradients of weights
  double* grad_pointwise;
};

template <class T>
void output_gradient(const Backward<T>& b, int64_t n, int64_t pixels, int64_t c, int64_t cp, T* dz) {
  const T* g = b.grad + n * pixels * b.grad_stride;
  const T* z = b.from_z ? b.z + n * pixels * c : nullptr;
  for (int64_t i = 0; i < pixels; ++i, g += b.grad_stride, dz += cp) {
    int64_t k = 0;
    for (; k + Simd<T>::width <= c; k += Simd<T>::width) {
      Vector<T> v = load(g + k) * load(b.from_grad + k);
      if (z) v += load(z + i * c + k) * load(b.from_z + k) + load(b.constant + k);
      store<T>(dz + k, v);
    }
    for (; k < c; ++k) {
      dz[k] = g[k] * b.from_grad[k];
      if (z) dz[k] += z[i * c + k] * b.from_z[k] + b.constant[k];
    }
    for (; k < cp; ++k) dz[k] = T(0);
  }
}

// Mask by the ReLU, write or add; `dx` is `(h, w, cp)` with rows `dx_row` values apart.
template <class T>
void input_gradient(const Geometry& g, const Backward<T>& b, int64_t n, int64_t cp, const T* dx, int64_t dx_row,
                    T* masked, double* moments) {
  const int64_t c = g.channels;
  for (int64_t y = 0; y < g.height; ++y) {
    const int64_t first = (n * g.height + y) * g.width;
    const T* x = b.x + first * b.x_stride;
    T* to = b.grad_x + first * b.grad_x_stride;
    const T* from = dx + y * dx_row;
    for (int64_t i = 0; i < g.width; ++i, x += b.x_stride, to += b.grad_x_stride, from += cp) {
      T* normal = masked + i * c;
      int64_t k = 0;
      for (; k + Simd<T>::width <= c; k += Simd<T>::width) {
        Vector<T> v = load(x + k);
        if (b.scale) v = v * load(b.scale + k) + load(b.shift + k);
        if (moments) store<T>(normal + k, v);
        Vector<T> d = v > T(0) ? load(from + k) : Vector<T>{};
        store<T>(to + k, b.accumulate ? load(to + k) + d : d);
      }
      for (; k < c; ++k) {
        const T v = b.scale ? x[k] * b.scale[k] + b.shift[k] : x[k];
        if (moments) normal[k] = v;
        const T d = v > T(0) ? from[k] : T(0);
        to[k] = b.accumulate ? to[k] + d : d;
      }
    }
    if (moments)
      fold_moments(b.grad_x + first * b.grad_x_stride, b.grad_x_stride, masked, c, g.width, c, moments,
                   moments + c);
  }
}

template <class T>
void block_backward(const Geometry& g, const Backward<T>& b) {
  const int64_t c = g.channels, cp = round_up(c, Simd<T>::width);
  const int64_t oh = g.out_height(), ow = g.out_width(), pixels = oh * ow;
  const int64_t pw = g.padded_width(), padded_size = g.padded_height() * pw * cp;
  // A transposed convolution of stride 1 is a convolution of the padded gradient with the flipped kernel.
  const bool gather = g.stride == 1;
  const int threads = threads_for(g.images);
  const bool weights = b.grad_depthwise != nullptr;
  const int64_t dw_size = g.taps() * cp, pw_size = cp * cp;
  Totals dw_totals(threads, weights ? dw_size : 0), pw_totals(threads, weights ? pw_size : 0);
  Totals x_totals(threads, b.grad_x_moments ? 2 * c : 0);
#pragma omp parallel num_threads(threads)
  {
    Scratch<T> scratch(2 * padded_size + 4 * pixels * cp + g.height * g.width * cp + 3 * dw_size + 3 * pw_size +
                       g.width * cp);
    T* padded = scratch.take(padded_size);
    T* spread = scratch.take(padded_size);
    T* middle = scratch.take(pixels * cp);
    T* dz = scratch.take(pixels * cp);
    T* dm = scratch.take(pixels * cp);
    T* dx = scratch.take(g.height * g.width * cp);
    T* normal = scratch.take(g.width * cp);
    T* dw = scratch.take(dw_size);
    T* dw_back = scratch.take(dw_size);
    T* pw_back = scratch.take(pw_size);
    T* dw_sum = scratch.take(dw_size);
    T* pw_sum = scratch.take(pw_size);
    taps_first(g, cp, b.depthwise, false, dw);
    taps_first(g, cp, b.depthwise, gather, dw_back);
    padded_square(c, cp, b.pointwise, false, pw_back);
    if (gather) std::memset(spread, 0, sizeof(T) * padded_size);
    double* dw_total = dw_totals.of(this_thread());
    double* pw_total = pw_totals.of(this_thread());
    double* x_total = b.grad_x_moments ? x_totals.of(this_thread()) : nullptr;
#pragma omp for schedule(static)
    for (int64_t n = 0; n < g.images; ++n) {
      output_gradient(b, n, pixels, c, cp, dz);
      product(dz, cp, int64_t(1), pw_back, cp, pixels, cp, cp, dm, cp, false);
      if (weights) {
        fill_padded(g, cp, b.x + n * g.height * g.width * b.x_stride, b.x_stride, b.scale, b.shift, padded);
        depthwise(padded, pw, cp, oh, ow, g, g.stride, dw, middle);
        product(middle, int64_t(1), cp, dz, cp, cp, pixels, cp, pw_sum, cp, false);
        for (int64_t i = 0; i < pw_size; ++i) pw_total[i] += pw_sum[i];
        std::memset(dw_sum, 0, sizeof(T) * dw_size);
        depthwise_weight(padded, pw, cp, oh, ow, g, dm, dw_sum);
        for (int64_t i = 0; i < dw_size; ++i) dw_total[i] += dw_sum[i];
      }
      if (gather) {
        for (int64_t y = 0; y < oh; ++y)
          std::memcpy(spread + ((y + g.pad()) * pw + g.pad()) * cp, dm + y * ow * cp, sizeof(T) * ow * cp);
        depthwise(spread, pw, cp, g.height, g.width, g, int64_t(1), dw_back, dx);
        input_gradient(g, b, n, cp, dx, g.width * cp, normal, x_total);
      } else {
        std::memset(spread, 0, sizeof(T) * padded_size);
        depthwise_scatter(dm, cp, g, dw_back, spread);
        input_gradient(g, b, n, cp, spread + (g.pad() * pw + g.pad()) * cp, pw * cp, normal, x_total);
      }
    }
  }
  if (b.grad_x_moments) x_totals.write(b.grad_x_moments);
  if (weights) {
    std::unique_ptr<double[]> sums(new double[std::max(dw_size, pw_size)]);
    dw_totals.write(sums.get());
    for (int64_t k = 0; k < c; ++k)
      for (int64_t t = 0; t < g.taps(); ++t) b.grad_depthwise[k * g.taps() + t] = sums[t * cp + k];
    pw_totals.write(sums.get());  // (in, out)
    for (int64_t o = 0; o < c; ++o)
      for (int64_t i = 0; i < c; ++i) b.grad_pointwise[o * c + i] = sums[i * cp + o];
  }
}

// out (+)= shift + sum over inputs of factor * input, per channel.
template <class T>
void combine(int64_t inputs, const T* const* x, const int64_t* strides, const T* factors, const T* shift,
             T* out, int64_t out_stride, int64_t pixels, int64_t c, int64_t accumulate) {
  constexpr int64_t kChunk = 32;
  const int64_t chunks = (pixels + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(static) num_threads(threads_for(chunks / 8))
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t first = chunk * kChunk, last = std::min(pixels, first + kChunk);
    int64_t k = 0;
    for (; k + Simd<T>::width <= c; k += Simd<T>::width) {
      Vector<T> sum[kChunk];
      const Vector<T> start = shift ? load(shift + k) : Vector<T>{};
      for (int64_t p = first; p < last; ++p)
        sum[p - first] = accumulate ? load(out + p * out_stride + k) + start : start;
      for (int64_t i = 0; i < inputs; ++i) {
        const Vector<T> factor = load(factors + i * c + k);
        const T* in = x[i] + k;
        const int64_t stride = strides[i];
        for (int64_t p = first; p < last; ++p) sum[p - first] += load(in + p * stride) * factor;
      }
      for (int64_t p = first; p < last; ++p) store<T>(out + p * out_stride + k, sum[p - first]);
    }
    for (; k < c; ++k)
      for (int64_t p = first; p < last; ++p) {
        T sum = accumulate ? out[p * out_stride + k] : T(0);
        if (shift) sum += shift[k];
        for (int64_t i = 0; i < inputs; ++i) sum += x[i][p * strides[i] + k] * factors[i * c + k];
        out[p * out_stride + k] = sum;
      }
  }
}

// Sums over pixels of grad * (scale * input + shift), `(inputs, c)`, and of grad, the last row.
template <class T>
void combine_backward(int64_t inputs, const T* const* x, const int64_t* strides, const T* scale,
                      const T* shift, const T* grad, int64_t grad_stride, int64_t pixels, int64_t c,
                      double* sums) {
  constexpr int64_t kChunk = 64;
  const int64_t chunks = (pixels + kChunk - 1) / kChunk;
  const int threads = threads_for(chunks / 4);
  Totals totals(threads, (inputs + 1) * c);
#pragma omp parallel num_threads(threads)
  {
    double* total = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t first = chunk * kChunk, last = std::min(pixels, first + kChunk);
      for (int64_t i = 0; i <= inputs; ++i) {
        const bool plain = i == inputs;
        int64_t k = 0;
        for (; k + Simd<T>::width <= c; k += Simd<T>::width) {
          Vector<T> sum[4] = {};
          const Vector<T> a = plain ? Vector<T>{} : load(scale + i * c + k);
          const Vector<T> s = plain ? Vector<T>{} : load(shift + i * c + k);
          int64_t p = first;
          if (plain)
            for (; p < last; ++p) sum[p & 3] += load(grad + p * grad_stride + k);
          else {
            const T* in = x[i] + k;
            const int64_t stride = strides[i];
            for (; p + 4 <= last; p += 4)
              for (int u = 0; u < 4; ++u)
                sum[u] += load(grad + (p + u) * grad_stride + k) * (load(in + (p + u) * stride) * a + s);
            for (; p < last; ++p)
              sum[0] += load(grad + p * grad_stride + k) * (load(in + p * stride) * a + s);
          }
          const Vector<T> all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
          for (int64_t j = 0; j < Simd<T>::width; ++j) total[i * c + k + j] += static_cast<double>(all[j]);
        }
        for (; k < c; ++k) {
          T sum = 0;
          for (int64_t p = first; p < last; ++p)
            sum += grad[p * grad_stride + k] *
                   (plain ? T(1) : x[i][p * strides[i] + k] * scale[i * c + k] + shift[i * c + k]);
          total[i * c + k] += sum;
        }
      }
    }
  }
  totals.write(sums);
}

// Max and average of 3x3 windows; `which` keeps the first place of the maximum.
template <class T>
void pool_forward(const Geometry& g, const T* x, int64_t x_stride, T* highest, T* average, uint8_t* which,
                  double* moments) {
  const int64_t c = g.channels, oh = g.out_height(), ow = g.out_width(), pixels = oh * ow;
  const int threads = threads_for(g.images);
  Totals totals(threads, moments ? 4 * c : 0);
#pragma omp parallel num_threads(threads)
  {
    double* sums = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t n = 0; n < g.images; ++n) {
      const T* image = x + n * g.height * g.width * x_stride;
      for (int64_t y = 0; y < oh; ++y)
        for (int64_t i = 0; i < ow; ++i) {
          const int64_t at = (n * pixels + y * ow + i) * c;
          T* __restrict top = highest + at;
          T* __restrict mean = average + at;
          uint8_t* __restrict place = which + at;
          int count = 0;
          for (int ky = 0; ky < 3; ++ky)
            for (int kx = 0; kx < 3; ++kx) {
              const int64_t iy = y * g.stride + ky - 1, ix = i * g.stride + kx - 1;
              if (iy < 0 || iy >= g.height || ix < 0 || ix >= g.width) continue;
              const T* __restrict in = image + (iy * g.width + ix) * x_stride;
              const uint8_t tap = static_cast<uint8_t>(ky * 3 + kx);
              if (count == 0)
                for (int64_t k = 0; k < c; ++k) {
                  top[k] = mean[k] = in[k];
                  place[k] = tap;
                }
              else
                for (int64_t k = 0; k < c; ++k) {
                  mean[k] += in[k];
                  place[k] = in[k] > top[k] ? tap : place[k];
                  top[k] = in[k] > top[k] ? in[k] : top[k];
                }
              ++count;
            }
          for (int64_t k = 0; k < c; ++k) mean[k] /= count;
        }
      if (moments) {
        const int64_t at = n * pixels * c;
        fold_moments(highest + at, c, highest + at, c, pixels, c, sums, sums + c);
        fold_moments(average + at, c, average + at, c, pixels, c, sums + 2 * c, sums + 3 * c);
      }
    }
  }
  if (moments) totals.write(moments);
}

// Gradients of both pools, added to the gradient of their input.
template <class T>
void pool_backward(const Geometry& g, const T* grad_highest, const T* grad_average, const uint8_t* which,
                   T* grad_x, int64_t grad_x_stride) {
  const int64_t c = g.channels, oh = g.out_height(), ow = g.out_width(), pixels = oh * ow;
#pragma omp parallel for schedule(static) num_threads(threads_for(g.images))
  for (int64_t n = 0; n < g.images; ++n) {
    T* image = grad_x + n * g.height * g.width * grad_x_stride;
    for (int64_t y = 0; y < oh; ++y)
      for (int64_t i = 0; i < ow; ++i) {
        const int64_t rows = std::min(y * g.stride + 1, g.height - 1) - std::max<int64_t>(y * g.stride - 1, 0) + 1;
        const int64_t columns =
            std::min(i * g.stride + 1, g.width - 1) - std::max<int64_t>(i * g.stride - 1, 0) + 1;
        const T share = T(1) / static_cast<T>(rows * columns);
        const int64_t at = (n * pixels + y * ow + i) * c;
        const T* __restrict top = grad_highest + at;
        const T* __restrict mean = grad_average + at;
        const uint8_t* __restrict place = which + at;
        for (int ky = 0; ky < 3; ++ky)
          for (int kx = 0; kx < 3; ++kx) {
            const int64_t iy = y * g.stride + ky - 1, ix = i * g.stride + kx - 1;
            if (iy < 0 || iy >= g.height || ix < 0 || ix >= g.width) continue;
            T* __restrict out = image + (iy * g.width + ix) * grad_x_stride;
            const uint8_t tap = static_cast<uint8_t>(ky * 3 + kx);
            for (int64_t k = 0; k < c; ++k) out[k] += mean[k] * share + (place[k] == tap ? top[k] : T(0));
          }
      }
  }
}

}  // namespace

#define EXPORT(T, SUFFIX)                                                                                     \
  void block_forward_##SUFFIX(const Geometry* g, const T* x, int64_t x_stride, const T* scale,                \
                              const T* shift, const T* depthwise, const T* pointwise, T* z,                   \
                              double* moments) {                                                              \
    block_forward<T>(*g, x, x_stride, scale, shift, depthwise, pointwise, z, moments);                        \
  }                                                                                                           \
  void block_backward_##SUFFIX(const Geometry* g, const Backward<T>* b) { block_backward<T>(*g, *b); }        \
  void combine_##SUFFIX(int64_t inputs, const T* const* x, const int64_t* strides, const T* factors,          \
                        const T* shift, T* out, int64_t out_stride, int64_t pixels, int64_t c,                \
                        int64_t accumulate) {                                                                 \
    combine<T>(inputs, x, strides, factors, shift, out, out_stride, pixels, c, accumulate);                   \
  }                                                                                                           \
  void combine_backward_##SUFFIX(int64_t inputs, const T* const* x, const int64_t* strides, const T* scale,   \
                                 const T* shift, const T* grad, int64_t grad_stride, int64_t pixels,          \
                                 int64_t c, double* sums) {                                                   \
    combine_backward<T>(inputs, x, strides, scale, shift, grad, grad_stride, pixels, c, sums);                \
  }                                                                                                           \
  void pool_forward_##SUFFIX(const Geometry* g, const T* x, int64_t x_stride, T* highest, T* average,         \
                             uint8_t* which, double* moments) {                                               \
    pool_forward<T>(*g, x, x_stride, highest, average, which, moments);                                       \
  }                                                                                                           \
  void pool_backward_##SUFFIX(const Geometry* g, const T* grad_highest, const T* grad_average,                \
                              const uint8_t* which, T* grad_x, int64_t grad_x_stride) {                       \
    pool_backward<T>(*g, grad_highest, grad_average, which, grad_x, grad_x_stride);                           \
  }

extern "C" {
EXPORT(float, f32)
EXPORT(double, f64)
}
