use std::fs;

use crate::world::{World, grey_png, qr_png};

#[test]
fn a_damaged_png_is_a_failure_in_two_lines() {
    let world = World::new();
    let whole = qr_png(&world.phone(1).code(world.now, 1));
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x40;
    let path = world.path("damaged.png");
    for bytes in [
        &whole[..whole.len() / 2],
        &flipped,
        b"",
        b"GIF89a",
        &whole[..20],
    ] {
        fs::write(&path, bytes).unwrap();
        world
            .scan(&path)
            .two_lines(2, "damaged.png is not a whole PNG");
    }
}

#[test]
fn a_picture_without_a_code_is_a_refusal_in_two_lines() {
    let world = World::new();
    let path = world.path("noise.png");
    let noise: Vec<u8> = (0..200_u32 * 200)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for luma in [vec![255; 200 * 200], vec![0; 200 * 200], noise] {
        fs::write(&path, grey_png(200, &luma)).unwrap();
        world
            .scan(&path)
            .two_lines(1, "there is no readable QR code in");
    }
    fs::write(&path, grey_png(1, &[0])).unwrap();
    world
        .scan(&path)
        .two_lines(1, "there is no readable QR code in");
}

#[test]
fn a_foreign_qr_code_is_a_refusal_of_its_own() {
    let world = World::new();
    for foreign in [
        "https://example.org/ticket",
        "62123456789",
        "PT2:ABC",
        "wéird 票",
    ] {
        let said = world.scan(&world.picture(foreign));
        assert_eq!(said.code, 1, "{said:?}");
        assert_eq!(
            said.out,
            "REFUSED UNKNOWN_SCHEME (2): does not begin with PT1:\n"
        );
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
}

#[test]
fn a_missing_and_an_oversized_file_are_failures_in_two_lines() {
    let world = World::new();
    world
        .scan(&world.path("missing.png"))
        .two_lines(2, "cannot read");
    let path = world.path("large.png");
    fs::write(&path, vec![0; 8 * 1024 * 1024 + 1]).unwrap();
    world
        .scan(&path)
        .two_lines(2, "is larger than 8388608 bytes");
}

/// A few hundred bytes that unfold into gigabytes are refused by their header.
#[test]
fn a_picture_of_too_many_pixels_is_refused_before_it_is_unfolded() {
    let world = World::new();
    let path = world.path("bomb.png");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4001, 4000);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0; 501 * 4000]).unwrap();
    writer.finish().unwrap();
    fs::write(&path, bytes).unwrap();
    world.scan(&path).two_lines(2, "has 4001 x 4000 pixels");
}

#[test]
fn colour_palette_and_transparency_are_read_like_grey() {
    let world = World::new();
    let grey = qr_png(&world.phone(1).code(world.now, 1));
    let decoder = png::Decoder::new(std::io::Cursor::new(grey));
    let mut reader = decoder.read_info().unwrap();
    let (side, _) = reader.info().size();
    let mut luma = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut luma).unwrap();

    // dark modules opaque blue, the rest transparent black
    let rgba: Vec<u8> = luma
        .iter()
        .flat_map(|&grey| {
            if grey == 0 {
                [0, 0, 90, 255]
            } else {
                [0, 0, 0, 0]
            }
        })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&rgba).unwrap();
    writer.finish().unwrap();
    let path = world.path("colour.png");
    fs::write(&path, bytes).unwrap();
    let said = world.scan(&path);
    assert_eq!(said.code, 0, "{said:?}");
}
