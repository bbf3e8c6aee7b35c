//! The board's first light, as a pin.
#![allow(unsafe_code)]

use core::convert::Infallible;
use core::ptr::{read_volatile, write_volatile};
use embedded_hal::digital::{ErrorType, OutputPin};

/// FPGA system control, register LED0 (Arm application note AN386): bit 0 is the first light.
const LED0: *mut u32 = 0x4002_8000 as *mut u32;

/// The light, and how often its register read back as it was set.
#[derive(Default)]
pub(crate) struct Led {
    pub(crate) highs: u32,
    pub(crate) lows: u32,
}

impl Led {
    fn set(on: u32) -> bool {
        // SAFETY: the register is on this board, nothing else in the firmware touches it, and a word is its width.
        unsafe {
            write_volatile(LED0, read_volatile(LED0) & !1 | on);
            read_volatile(LED0) & 1 == on
        }
    }
}

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.highs += u32::from(Self::set(1));
        Ok(())
    }

    fn set_low(&mut self) -> Result<(), Infallible> {
        self.lows += u32::from(Self::set(0));
        Ok(())
    }
}
